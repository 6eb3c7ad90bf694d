"""What a scheduled run came to: one document, from what its stages say of themselves."""

from collections.abc import Mapping
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.markdown import as_cell
from hazardline.register.stage import Outcome as Registered

CONCLUSION_NAME = "conclusion.json"
Outcome = Literal["nothing_new"] | Registered


class Conclusion(Document):
    """How a run that was not stopped by an error ended (`conclusion.json`)."""

    version: Literal["conclusion@1"] = "conclusion@1"
    run_id: str
    outcome: Outcome
    sentence: str
    model_name: str
    champion_before: int | None
    """The champion that today's data and the candidate were compared with."""
    candidate: int | None
    """The model version that was registered; None where nothing was trained."""
    trigger: list[str]
    """Why a training was due, or was not."""
    gate: list[str]
    """What every rule of the gate's policy said; empty where nothing was trained."""


def conclude(run_id: str, model_name: str, summaries: Mapping[str, Mapping[str, Any]]) -> Conclusion:
    """Draw the conclusion.

    Args:
        run_id: the run.
        model_name: the registered model.
        summaries: of the stages newdata and, where a training was due, gate and register.
    """
    newdata, gate, register = (summaries.get(name) for name in ("newdata", "gate", "register"))
    assert newdata is not None
    if register is None or gate is None:
        outcome, sentence, candidate = "nothing_new", "nothing was trained: no training was due", None
        champion, rules = newdata["champion_version"], []
    else:
        outcome, sentence, candidate = register["outcome"], register["reason"], register["version"]
        champion, rules = gate["champion_version"], [reason["sentence"] for reason in gate["reasons"]]
    return Conclusion.parse(
        {
            "run_id": run_id,
            "outcome": outcome,
            "sentence": sentence,
            "model_name": model_name,
            "champion_before": champion,
            "candidate": candidate,
            "trigger": [reason["sentence"] for reason in newdata["reasons"]],
            "gate": rules,
        },
        "conclusion",
    )


def as_markdown(conclusion: Conclusion) -> str:
    """The conclusion for people."""
    before = "none" if conclusion.champion_before is None else f"version {conclusion.champion_before}"
    parts = [
        f"# {conclusion.outcome.replace('_', ' ')}",
        as_cell(conclusion.sentence),
        f"Model `{conclusion.model_name}`; champion before this run: {before}.",
    ]
    for title, sentences in (("New data", conclusion.trigger), ("Gate", conclusion.gate)):
        if sentences:
            parts += [f"## {title}", "\n".join(f"- {as_cell(sentence)}" for sentence in sentences)]
    return "\n\n".join(parts) + "\n"
