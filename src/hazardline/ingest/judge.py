"""Which candidates are usable, now that their files were looked at."""

from hazardline.ingest.checks import check_times, problem
from hazardline.ingest.inspection import Fault, Inspection
from hazardline.ingest.known import KnownContents
from hazardline.ingest.work import Seen, Work


def judge(work: Work, known: KnownContents) -> None:
    """Accept what is usable; write down what files rule out. Of clips of the same bytes the first is kept."""
    for seen in work.seen():
        candidate, found = seen.candidate, result_of(seen, known)
        if isinstance(found, Fault):
            work.add_problem(problem(candidate, found.reason, found.detail))
            continue
        fault = check_times(candidate, found.info.duration_s, found.info.fps)
        if fault is None:
            twin = work.accept(seen)
            if twin is None:
                continue
            fault = problem(candidate, "duplicate_bytes", f"the same bytes as clip {twin!r}")
        work.add_problem(fault)


def result_of(seen: Seen, known: KnownContents) -> Inspection | Fault:
    """What was found out of a candidate's file."""
    if seen.fault is not None:
        return seen.fault
    found = known.get(seen.sha256)
    assert found is not None  # `examine_new` has seen to it
    return found
