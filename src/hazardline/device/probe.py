"""The process that the health check starts: open a bundle, answer clips, report. Not meant to be called by hand.

    python -m hazardline.device.probe BUNDLE REQUEST.json REPORT.json

It imports what a vehicle's computer has, and nothing of training.
"""

import sys
import time
from pathlib import Path

from hazardline.device.health import ClipAnswer, ProbeReport, read_request
from hazardline.errors import UserError


def main(arguments: list[str]) -> int:
    """Answer every clip of the request; returns the exit status."""
    from hazardline.device.infer import peak_memory_mb
    from hazardline.device.runtime import Bundle

    folder, request, report = (Path(argument) for argument in arguments)
    began = time.perf_counter()
    try:
        bundle = Bundle.open(folder)
        load_s = time.perf_counter() - began
        answers = []
        for clip in read_request(request):
            said = bundle.answer(clip)
            words = {str(task): answer for task, answer in said.answers.items()}
            answers.append(ClipAnswer(clip=str(clip), answers=words, latency_s=said.timings.total_s))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    peak_mb = peak_memory_mb()
    providers = bundle.nodes_by_provider()
    found = ProbeReport(clips=tuple(answers), load_s=load_s, peak_memory_mb=peak_mb, nodes_by_provider=providers)
    found.write(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
