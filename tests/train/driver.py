"""The train stage in a process of its own, to be killed: `python -m tests.train.driver JOB.json`.

JOB.json holds the stage's section, its inputs and the folder to write.
"""

import json
import sys
from pathlib import Path

from hazardline.errors import UserError
from hazardline.progress import TextReporter
from hazardline.train.config import TrainConfig
from hazardline.train.stage import run


def main(path: Path) -> int:
    """Run the stage; 2 for an error that the user can mend."""
    job = json.loads(path.read_text())
    out = Path(job["out"])
    out.mkdir()
    try:
        run(
            TrainConfig.parse(job["section"], "test"),
            {name: Path(folder) for name, folder in job["inputs"].items()},
            out,
            TextReporter(),
        )
    except UserError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
