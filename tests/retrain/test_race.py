"""Two scheduled runs at once, on machines of their own with one registry. Slow: two whole runs after one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.register.promote import CHAMPION, alias_version, history
from hazardline.tracking import connect
from tests.retrain.webhook import Receiver, receiver
from tests.retrain.world import MODEL, SECRET, World


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver(SECRET) as found:
        yield found


def test_two_runs_at_once_promote_one_candidate(
    hook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teams = [World(tmp_path / name, hook.url) for name in ("north", "south")]
    meet = tmp_path / "meet"
    meet.mkdir()
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    shared = {"MLFLOW_TRACKING_URI": uri, "HAZARDLINE_DATASETS": str(tmp_path / "datasets")}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "looking"))
    (tmp_path / "mlflow").mkdir()
    teams[0].film(num_clips=60, num_wrong=12)
    done = teams[0].run(**shared)
    assert done.returncode == 0, done.stdout + done.stderr

    for number, team in enumerate(teams):
        team.film(num_clips=100, num_wrong=2 + number)
    started = [team.start(**shared, TINY_MEET=str(meet)) for team in teams]
    said = [process.communicate(timeout=900) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert len(list(meet.iterdir())) == 2, "both stood before the promotion at the same time"

    outcomes = {notice["outcome"]: notice["conclusion"] for notice in hook.notices[1:]}
    assert sorted(outcomes) == ["lost_race", "promoted"]
    winner = outcomes["promoted"]["candidate"]
    assert alias_version(connect(), MODEL, CHAMPION) == winner != outcomes["lost_race"]["candidate"]
    assert [(entry.from_version, entry.to_version) for entry in history(MODEL)] == [(None, 1), (1, winner)]
    assert f"version {winner} " in outcomes["lost_race"]["sentence"], "who was first is named, wherever it was lost"
