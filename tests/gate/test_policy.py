"""Policy files: the shipped ones load, wrong ones say what is wrong."""

from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.gate.policy import locate_policy, read_policy

SHIPPED = sorted((Path(__file__).parents[2] / "mlflow" / "gates").glob("*.yaml"))
HEAD = "version: gate_policy@1\nname: mine@1\n"


def test_there_are_shipped_policies() -> None:
    assert {path.stem for path in SHIPPED} >= {"crashchat_pocket", "crashchat_videollama3", "hazardnet_pocket"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_policies_load_and_carry_their_file_name(path: Path) -> None:
    assert read_policy(str(path)).name.partition("@")[0] == path.stem


def test_a_relative_path_is_also_looked_for_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_policy("mlflow/gates/crashchat_pocket.yaml").is_file()
    (tmp_path / "p.yaml").write_text("x")
    assert locate_policy("p.yaml") == tmp_path / "p.yaml"


@pytest.mark.parametrize(
    "text, said",
    [
        (HEAD, "rules: missing"),
        (HEAD + "rules: []\n", "rules: Tuple should have at least 1 item"),
        (HEAD + "rules: [{kind: margins, metric: x}]\n", "rules.0: Input tag 'margins'"),
        (HEAD + "rules: [{kind: minimum, metric: x, minimum: high}]\n", "rules.0.minimum.minimum: "),
        (HEAD + "rules: [{kind: minimum, metric: x, minimum: .nan}]\n", "minimum: "),
        (HEAD + "rules: [{kind: margin, metric: x, over: champion}]\n", "over: "),
        (HEAD + "rules: [{kind: minimum, metric: x, minimum: 1, maximum: 2}]\n", "maximum: unknown key"),
        (HEAD + "rules: [{kind: minimum, metric: tta_abs_error_s, minimum: 1}]\n", "less is better"),
        (HEAD + "rules: [{kind: minimum, metric: parse_failure_rate, minimum: 1}]\n", "a rule of kind maximum"),
        (HEAD + "rules: [{kind: maximum, metric: risk_macro_f1, maximum: 1}]\n", "of risk_macro_f1 more is better"),
        (HEAD + "rules: [{kind: leakage, max_severity: bad}]\n", "max_severity: "),
        (HEAD + "name: twice@1\n", "given twice"),
    ],
)
def test_a_wrong_policy_says_which_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_policy(str(path))
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_a_missing_policy_names_the_places(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gate\.policy: no policy file at .*nowhere\.yaml"):
        read_policy(str(tmp_path / "nowhere.yaml"))
