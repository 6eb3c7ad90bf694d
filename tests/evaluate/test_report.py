import re
from html.parser import HTMLParser

import pytest

from hazardline.evaluate.constants import choose_constants, constant_answers, shown_answers
from hazardline.evaluate.document import Evaluation, Identity
from hazardline.evaluate.estimates import Scorer
from hazardline.evaluate.report.filmstrips import choose
from hazardline.evaluate.report.page import confusion, crash_rows, write_report
from hazardline.evaluate.report.parts import ReportData, loss_curves, tables
from hazardline.evaluate.scored import METRIC_NAMES
from hazardline.evaluate.scoring import Canon, score_clips
from hazardline.evaluate.slices import SLICED_METRICS, slice_estimates
from hazardline.split.findings import found
from tests.evaluate.clips import changed, clip, perfect
from tests.video_files import moving_pictures, write_clip

FINDING = found(
    "technical_features", "serious", "AUC 0.91 <over> all.", {"num_crash": 40}, "Re-encode every clip."
).data()
LEAKAGE = {
    "version": "leakage@2",
    "findings": [FINDING],
    "rows": [{"feature": "first-frame colour", "auc": 0.512345, "low": None}],
}
TRAINING = {
    "branches": {
        "linguistic": {
            "losses": [{"step": 0, "loss": 2.0}, {"step": 10, "loss": 1.0}],
            "validation": [{"step": 10, "losses": {"crash_recognition": 0.5, "cause_reasoning": 1.5}}],
        },
        "perception": {},
    }
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    clips = [clip("a<b>"), clip("b"), clip("n", "near_miss"), clip("o", "normal")]
    for number, item in enumerate(clips):
        video = write_clip(folder / f"{number}.mp4", moving_pictures(number, 30))
        object.__setattr__(item, "video", video)
    canon = Canon.build(clips, [])
    candidate = changed(perfect(clips), "b", crash_recognition="No", crash_localization="1.0 - 3.0 seconds")
    constants = choose_constants(clips, canon)
    scorer = Scorer(clips, canon, 100, 0)
    scored = {
        "candidate": scorer.score("candidate", lambda metric: candidate),
        "base": scorer.score("base", lambda metric: candidate),
        "constant": scorer.score("constant", lambda metric: constant_answers(metric, constants, clips)),
    }
    values = {metric: score_clips(metric, clips, candidate, canon) for metric in SLICED_METRICS}
    evaluation = Evaluation(
        identity=Identity(
            base_digest="b" * 64,
            adapters_digest={"linguistic": "1" * 64, "perception": "2" * 64},
            test_data_digest="d" * 64,
            layout_digest="e" * 64,
            prompt_version="crashchat-short@1",
            code_commit="unknown",
        ),
        num_test_clips=4,
        counts={"clips_crash": 2, "clips_near_miss": 1, "clips_normal": 1},
        metrics={model: found.estimates for model, found in scored.items()},
        slices=slice_estimates(clips, values, 100, 0),
        ceiling={"near_miss_auc": scored["candidate"].estimates["near_miss_auc"]},
        constants=constants,
    )
    answers = {"candidate": candidate, "base": candidate, "constant": shown_answers(constants, clips)}
    return ReportData(evaluation, clips, answers, LEAKAGE, TRAINING, num_filmstrips=2)


@pytest.fixture(scope="module")
def page(data):
    return write_report(data)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]


def test_the_page_needs_nothing_beside_it(page):
    parsed = _Page()
    parsed.feed(page)
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in parsed.links)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert parsed.tags.count("svg") >= 7 and parsed.tags.count("img") == 2 + 0 + 2


def test_the_page_says_what_was_measured(page):
    for text in ("b" * 64, "1" * 64, "crashchat-short@1", "Leakage audit", "first-frame colour", "0.512", "Training"):
        assert text in page
    for name in METRIC_NAMES:
        assert name in page
    assert "a&lt;b&gt;" in page and "a<b>" not in page


def test_the_plots_take_the_pages_colour(page):
    assert "#010203" not in page and "currentColor" in page and "prefers-color-scheme: dark" in page


def test_the_same_data_give_the_same_page(data, page):
    assert write_report(data) == page


def test_a_page_without_optional_parts_renders(data):
    plain = ReportData(data.evaluation, data.clips, data.answers, None, None, 0)
    page = write_report(plain)
    assert "Leakage audit" not in page and "<h2>Training" not in page and "<img" not in page


def test_an_undefined_metric_is_a_dash(data):
    metrics = {model: dict(found) for model, found in data.evaluation.metrics.items()}
    del metrics["candidate"]["normal_auc"]
    rows = {row.name: row for row in crash_rows(data.evaluation.model_copy(update={"metrics": metrics}))}
    assert rows["normal_auc"].cells[-1] == "–" and rows["normal_auc"].verdict == ""
    assert rows["crash_miou"].cells[-1].startswith("0.667 [")


def test_confusion_counts_every_clip(data):
    found = confusion(data.clips, data.answers["candidate"])
    assert found == {"crash": {"Yes": 1, "No": 1}, "near_miss": {"No": 1}, "normal": {"No": 1}}


def test_best_and_worst_clips_are_told_apart(data):
    found = choose(data.clips, data.answers["candidate"], 1)
    assert [item.clip_id for item in found["Best crashes"]] == ["a<b>"]
    assert [item.clip_id for item in found["Worst crashes"]] == ["b"]
    assert len(found["Negatives most like a crash"]) == 1


def test_documents_of_any_shape_become_tables():
    found = tables({"a": 1, "b": {"c": [{"x": 0.5}, {"y": [1, 2]}]}, "d": ["e"]}, "audit")
    assert found == [
        ("audit", ["what", "value"], [["a", "1"]]),
        ("audit: b: c", ["x", "y"], [["0.500", "–"], ["–", "1, 2"]]),
        ("audit: d", ["value"], [["e"]]),
    ]
    assert tables(None, "audit") == []


def test_curves_are_read_where_they_are():
    assert loss_curves(TRAINING) == {
        "linguistic, training": [(0.0, 2.0), (10.0, 1.0)],
        "linguistic, validation": [(10.0, 1.0)],
    }
    assert loss_curves(None) == loss_curves({"version": "x"}) == {}


def test_findings_stand_with_their_severity_and_remedy_before_the_rows_of_the_audit(page):
    row = page.index('<td class="serious">serious</td><td>technical features</td>')
    assert "AUC 0.91 &lt;over&gt; all." in page and "Re-encode every clip." in page
    assert row < page.index("leakage audit: rows")
