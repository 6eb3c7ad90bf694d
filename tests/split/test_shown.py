"""What a pipeline's user interface shows of a split."""

from hazardline.split.document import AuditedSample, LeakageReport, NeighbourLeakage, SplitCounts
from hazardline.split.findings import Finding, found
from hazardline.split.shown import summary_text


def report(findings: list[Finding]) -> LeakageReport:
    return LeakageReport(
        salt="s",
        group_by=("pair_id",),
        num_groups=4,
        splits={"test": SplitCounts(num_clips=5, num_groups=4, by_label={"crash": 2, "normal": 3}, by_scenario={})},
        neighbours=NeighbourLeakage(
            distance=0.1,
            num_pairs=0,
            num_mirrored=0,
            num_trimmed=0,
            num_uninformative=0,
            num_clips_in_largest_group=1,
            num_pairs_with_other_label=0,
            num_across_splits=0,
        ),
        limit_auc=0.6,
        audited=AuditedSample(num_clips=5, of_clips=5, is_sample=False),
        findings=findings,
        rows=[],
    )


def test_findings_stand_in_their_order_with_what_to_do() -> None:
    text = summary_text(
        report(
            [
                found("label_noise", "serious", "3 pairs | 4", {}, remedy="Look."),
                found("class_balance", "info", "even", {}),
            ]
        )
    )
    assert "| test | 5 | 4 | crash 2, normal 3 |" in text
    first, second = [line for line in text.splitlines() if line.startswith(("| serious", "| info"))]
    assert first == "| serious | label\\_noise | 3 pairs \\| 4 | Look. |"
    assert second.startswith("| info | class\\_balance | even |")


def test_an_audit_without_findings_says_so() -> None:
    assert summary_text(report([])).endswith("The audit looked at nothing.\n")
