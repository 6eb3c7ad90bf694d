"""Some stages of the line, in one process: `python -m tests.mirror.one_pod RECORDS RECIPE STAGE...`.

RECORDS is the folder of the records that KFP would hand on; all else that stages share goes through the mirror.
"""

import json
import sys
from pathlib import Path

import yaml

from hazardline.stage_runner import run_stage
from hazardline.stages import stage_named

records, recipe, *names = sys.argv[1:]
sections = yaml.safe_load(Path(recipe).read_text())
for name in names:
    given = {stage: Path(records) / f"{stage}.json" for stage in stage_named(name).inputs}
    inputs = {stage: str(path) for stage, path in given.items() if path.is_file()}
    run_stage(name, json.dumps(sections.get(name, {})), inputs, str(Path(records) / f"{name}.json"))
