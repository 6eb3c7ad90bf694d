"""A program for `test_fuzz.py`: reads an annotation that was damaged in many ways, in one process of limited memory.

    fuzz_annotations.py SOURCE FOLDER FIRST_SEED COUNT

Every seed damages one annotation file of the folder in one way, reads the data set, and puts the file back. An adapter
may answer with candidates, problems and a `UserError`; anything else is a failure. Where only the contents of a cell
were damaged, or tracks in XML that belong to a video, no row may be missing from candidates and problems together.
Prints one JSON document.
"""

import io
import json
import random
import re
import resource
import signal
import sys
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from tests.ingest.datasets import candidates

ANNOTATIONS = (".csv", ".json", ".jsonl", ".txt", ".xls", ".xlsx", ".xml", ".parquet")
MAX_BYTES = 2 << 30
MAX_S = 10
JUNK = (
    b"", b"\0", b"=cmd|' /C calc'!A0", b"=1+1", b"-1", b"1e309", b"NaN", b"Infinity", b"9" * 400, b"9" * 5000, b"C:\\x",
    b"0.1" * 200, b"../../../../etc/passwd", b"/etc/passwd", b"\xff\xfe", b"\xef\xbb\xbf", "\u202e\ud7ff衝突".encode(),
    b"A" * 70_000, b"true", b"null", b"[]", b"{}", b"[" * 3000, b"&lol;", b"%s%n", b"\x1b[2J", b"1_000", b"0x10", b"\r",
    b"\xc0\xaf",
)  # fmt: skip
CELL_JUNK = tuple(junk for junk in JUNK if not set(junk) & set(b'\r\n",[]{}&\\\xff\xfe\xef\xc0\0') and len(junk) < 5000)


def damage(data: bytes, random_: random.Random, suffix: str) -> tuple[bytes, bool]:
    """Damaged bytes, and whether the number of rows must be as before."""
    draw = random_.random()
    if suffix == ".xlsx" and draw < 0.7:
        return (_sheet_cell(data, random_), True) if draw < 0.4 else (_inside_zip(data, random_), False)
    if suffix in (".csv", ".json", ".jsonl") and draw < 0.4:
        return _one_cell(data, random_, suffix)
    if suffix == ".xml" and draw < 0.4:
        return _value(data, random_), True
    for _ in range(random_.randint(1, 4)):
        data = _bytes(data, random_)
    return data, suffix == ".xml"


def _bytes(data: bytes, random_: random.Random) -> bytes:
    at, to = sorted(random_.randrange(len(data) + 1) for _ in range(2))
    near = min(len(data), at + random_.randint(1, 12))
    kind = random_.randrange(7)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + random_.choice(JUNK) + data[at:]
    if kind == 2:
        return data[:at] + random_.choice(JUNK) + data[near:]
    if kind == 3:
        return data[:at] + bytes(random_.randrange(256) for _ in range(near - at)) + data[near:]
    if kind == 4:
        return data[:at] + data[to:]
    if kind == 5:
        return data[:to] + data[at:]
    return data[:near] + data[at:near] * random_.choice((1, 3, 200)) + data[near:]


def _one_cell(data: bytes, random_: random.Random, suffix: str) -> tuple[bytes, bool]:
    """Another content for one value: of a table a cell below the head, of JSON a text or a number behind a colon."""
    junk = random_.choice(CELL_JUNK)
    if suffix == ".csv":
        lines = data.split(b"\n")
        rows = [number for number, line in enumerate(lines[1:], 1) if line.strip() and b'"' not in line]
        if not rows:
            return data, True
        number = random_.choice(rows)
        cells = lines[number].split(b",")
        cells[random_.randrange(len(cells))] = junk
        if not b"".join(cells).strip():
            return data, True
        lines[number] = b",".join(cells)
        return b"\n".join(lines), True
    colons = [at for at in range(len(data) - 2) if data[at : at + 2] == b": " and data[at + 2 : at + 3] not in b"[{"]
    if not colons:
        return data, True
    at = random_.choice(colons) + 2
    end = data.index(b'"', at + 1) + 1 if data[at : at + 1] == b'"' else at
    if end == at:
        while end < len(data) and data[end : end + 1] not in b",}] \n":
            end += 1
    return data[:at] + b'"' + junk + b'"' + data[end:], True


def _value(data: bytes, random_: random.Random) -> bytes:
    """Another attribute or text in XML that stays well-formed; half of the time a track's label."""
    labels = list(re.finditer(rb'(?<=label=")[^"]*', data)) if random_.random() < 0.5 else []
    found = random_.choice(labels or list(re.finditer(rb'(?<==")[^"]*|(?<=>)[^<>\s]+(?=<)', data)))
    return data[: found.start()] + random_.choice(CELL_JUNK) + data[found.end() :]


def _sheet_cell(data: bytes, random_: random.Random) -> bytes:
    """Another text in one cell of a workbook's sheet, below the head, as a spreadsheet program would write it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in sorted(members) if name.startswith("xl/worksheets/"))
    sheet = members[name]
    cells = re.finditer(rb'<c r="([A-Z]+\d+)"[^>]*?(?:/>|>.*?</c>)', sheet, re.DOTALL)
    cell = random_.choice([cell for cell in cells if int(cell[1].lstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")) > 1])
    junk = random_.choice([junk for junk in CELL_JUNK if not set(junk) & set(b"\x1b")])
    text = b'<c r="%b" t="inlineStr"><is><t>%b</t></is></c>' % (cell[1], junk)
    members[name] = sheet[: cell.start()] + text + sheet[cell.end() :]
    return _zipped(members)


def _inside_zip(data: bytes, random_: random.Random) -> bytes:
    """A workbook with one damaged member, whole as an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random_.choice(sorted(members))
    members[name] = _bytes(members[name], random_) if members[name] else b"x"
    if random_.random() < 0.1:
        members[f"../{name}"] = members.pop(name)
    return _zipped(members)


def _zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return sink.getvalue()


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {MAX_S} s")


def main() -> None:
    source, root, first, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    config = SourceConfig.parse({"source": source}, "fuzz")
    files = sorted(path for path in root.rglob("*") if path.suffix in ANNOTATIONS)
    whole = {path: path.read_bytes() for path in files}
    num_rows = len(list(candidates(root, config)))
    outcomes: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest_s = 0.0
    for seed in range(first, first + count):
        random_ = random.Random(f"{source} {seed}")
        path = random_.choice(files)
        damaged, keeps_rows = damage(whole[path], random_, path.suffix)
        path.write_bytes(damaged)
        begin = time.monotonic()
        signal.alarm(MAX_S)
        try:
            items = list(candidates(root, config))
            signal.alarm(0)
            odd = [item for item in items if not isinstance(item, Candidate | Problem)]
            bare = [item for item in items if isinstance(item, Problem) and not item.detail]
            if odd or bare:
                failures.append({"seed": seed, "file": path.name, "what": f"{odd[:1]} {bare[:1]}"})
            if keeps_rows and len(items) < num_rows:
                failures.append({"seed": seed, "file": path.name, "what": f"{len(items)} of {num_rows} rows came back"})
            problems = sum(isinstance(item, Problem) for item in items)
            outcomes["all candidates" if not problems else "with problems"] += 1
        except UserError:
            outcomes["refused"] += 1
        except Exception:  # the finding itself
            failures.append({"seed": seed, "file": path.name, "what": traceback.format_exc()[-1500:]})
        finally:
            signal.alarm(0)
            path.write_bytes(whole[path])
        slowest_s = max(slowest_s, time.monotonic() - begin)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"outcomes": outcomes, "failures": failures, "slowest_s": slowest_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
