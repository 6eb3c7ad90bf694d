"""Names of recordings that several data sets hold clips of, so that a split never parts two copies.

An id is `namespace:name` only where the name is the same thing in every data set that writes it. Every other id counts
within its source. Who numbers his own footage by one of these schemes may write such an id in a native manifest.

| namespace | a name is | written by |
| --- | --- | --- |
| `youtube` | a video's id, eleven characters | CCD, DoTA, BADAS-Open on DoTA |
| `dada` | a clip of DADA-2000 by type and number | DADA-2000, MM-AU, BADAS-Open on DADA-2000, CrashChat |
| `cap` | a clip of MM-AU's CAP by type and number | MM-AU, CrashChat |
| `d2city` | a clip of D2-City by CrashChat's two numbers | D2-City, where files are named so, CrashChat |
| `drama` | a drive of DRAMA | DRAMA, HazardQA |

Two ids look like such names and are none. The first number of `d2city_1002_0626` is no recording: the 1,223 clips in
CrashChat's released validation and test files have 1001 or 1002. CrashChat's `nexar_0753` is not known to be Nexar's
00753: these numbers have four digits and run from 0753 to 1493 over negatives alone, as a count of 1,500 clips with the
positives first would, while Nexar's ids have five digits. Near duplicates find such copies.
"""

import re

_YOUTUBE = re.compile(r"[A-Za-z0-9_-]{11}")
_D2_CITY = re.compile(r"d2city_(\d{1,9})_(\d{1,9})", re.ASCII)


def is_shared(identity: str) -> bool:
    """Whether an id names its own namespace and is the same in all sources."""
    return ":" in identity


def youtube(video: str) -> str:
    """A YouTube video; what has not the form of a video's id stays as it is, and counts within its source."""
    return f"youtube:{video}" if _YOUTUBE.fullmatch(video) else video


def dada(category: int, number: int) -> str:
    """A clip of DADA-2000, by the two numbers of its folder."""
    return f"dada:{category}-{number:03}"


def cap(category: int, number: int) -> str:
    """A clip of MM-AU's CAP, by the last two numbers of its folder."""
    return f"cap:{category}-{number:06}"


def d2_city(stem: str) -> str | None:
    """A clip of D2-City by the stem of its file; None where it has not CrashChat's form."""
    numbered = _D2_CITY.fullmatch(stem)
    return f"d2city:{numbered[1]}_{numbered[2]}" if numbered else None


def drama(drive: str) -> str:
    """A drive of DRAMA: the folder above its clips, and the number that they share."""
    return f"drama:{drive}"
