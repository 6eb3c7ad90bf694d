"""On what terms each data set may be used, where it is, and how to obtain it. Hazardline ships none of them.

Terms are those that the address named when it was looked at; `checked` says whether it was. They bind the user, and the
owner may change them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hazardline.ingest.config import SourceName


@dataclass(frozen=True)
class Licence:
    """The terms of one data set."""

    title: str
    terms: str
    spdx: str | None
    """Identifier of https://spdx.org/licenses, where there is one."""
    address: str | None
    obtain: str
    checked: bool
    """Whether the terms were read at the address, and not only taken from what is written about the data set."""


LICENCES: dict[SourceName, Licence] = {
    "native": Licence(
        "Own or simulated clips",
        "those of whoever recorded them; the simulator's clips are under hazardline's Apache-2.0",
        None,
        None,
        "record them, or run `hazardline simulate`",
        True,
    ),
    "nexar": Licence(
        "Nexar Dashcam Collision Prediction",
        "nexar-open-data-license: open, unethical use excluded",
        None,
        "https://huggingface.co/datasets/nexar-ai/nexar_collision_prediction",
        "from the hub, or from its Kaggle competition after accepting the rules",
        True,
    ),
    "mm_au": Licence(
        "MM-AU (CAP and DADA)",
        "academic use only",
        None,
        "https://github.com/jeffreychou777/LOTVS-MM-AU",
        "annotations from the address; frames on request from its authors",
        True,
    ),
    "dada2000": Licence(
        "DADA-2000",
        "academic use only, as part of MM-AU",
        None,
        "https://github.com/JWFangit/LOTVS-DADA",
        "from the address",
        False,
    ),
    "ccd": Licence(
        "Car Crash Dataset (CCD)",
        "MIT for the annotations; the videos are of YouTube and BDD100K, whose terms hold",
        "MIT",
        "https://github.com/Cogito2012/CarCrashDataset",
        "from the address",
        True,
    ),
    "dota": Licence(
        "Detection of Traffic Anomaly (DoTA)",
        "MIT for the annotations; the videos are of YouTube, whose terms hold",
        "MIT",
        "https://github.com/MoonBlvd/Detection-of-Traffic-Anomaly",
        "annotations from the address; frames as it says there",
        True,
    ),
    "badas": Licence(
        "BADAS-Open annotations of DAD, DADA-2000 and DoTA",
        "Apache-2.0 for the annotations; the videos are those of the three data sets",
        "Apache-2.0",
        "https://github.com/getnexar/BADAS-Open",
        "annotations from the address; videos from their own data sets",
        False,
    ),
    "drama": Licence(
        "DRAMA",
        "research only, under an agreement with its owner",
        None,
        "https://usa.honda-ri.com/drama",
        "on request at the address",
        False,
    ),
    "d2_city": Licence(
        "D2-City",
        "as its owner states with the download",
        None,
        "https://arxiv.org/abs/1904.01975",
        "from its owner, DiDi; the paper names the place",
        False,
    ),
    "crashchat": Licence(
        "CrashChat's question-answer records",
        "as the address states; the videos are those of MM-AU, Nexar and D2-City, whose terms hold",
        None,
        "https://github.com/Liangkd/CrashChat",
        "records from the address; videos from their own data sets",
        False,
    ),
    "hazardqa": Licence(
        "HazardQA",
        "as the address states; the images are DRAMA's, whose terms hold",
        None,
        "https://github.com/mtami/HazardNet",
        "questions from the address; images from DRAMA",
        False,
    ),
}
"""Source, as the scenes table names it, to its licence."""


def licence_of(source: str) -> Licence | None:
    """The licence of a source, or None where nothing is known of it."""
    known: dict[str, Licence] = {name: licence for name, licence in LICENCES.items()}
    return known.get(source)


def licence_addresses(sources: Iterable[str]) -> list[str]:
    """What metadata name for some sources, in their order: an SPDX page, an address, or a word of warning."""
    named = []
    for source in sources:
        licence = licence_of(source)
        if licence is None:
            named.append(f"{source}: unknown, ask whoever provided it")
        elif licence.spdx is not None:
            named.append(f"https://spdx.org/licenses/{licence.spdx}.html")
        else:
            named.append(licence.address or "https://spdx.org/licenses/Apache-2.0.html")
    return list(dict.fromkeys(named))
