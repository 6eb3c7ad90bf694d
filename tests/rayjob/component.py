"""The component in a process of its own: `python -m tests.rayjob.component SECTION RECORD_PATH INGEST SYNTHESIZE`."""

import sys

from hazardline.stage_runner import run_stage

if __name__ == "__main__":
    section, record, ingest, synthesize = sys.argv[1:]
    run_stage("train", section, {"ingest": ingest, "synthesize": synthesize}, record)
