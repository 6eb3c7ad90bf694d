"""Scheduled retraining: the line, where what came in since the champion was trained is worth it.

Ingest reads today's footage as a new version of the data set, `newdata` compares it with the version that the champion
was trained on. Nothing worth a training: the run ends well and says so. Otherwise the same line as everywhere, but for
the gate: it compares the candidate with the champion as evaluated on today's test set. Whatever happens, the exit
handler tells the webhook that the recipe names.
"""

import json

from kfp import dsl

from hazardline.errors import UserError
from hazardline.files import canonical_json
from hazardline.gate.policy import NoRegressionRule, read_policy
from hazardline.newdata.config import NewdataConfig
from hazardline.notify.config import NoticeConfig
from hazardline.recipe import Recipe
from hazardline.retrain.config import RetrainConfig

from components.conclude.component import conclude
from components.ingest.component import ingest
from components.newdata.component import newdata
from components.notify.component import notify
from pipelines.fine_tune import Place, arguments_of, from_clips, placed, record_of, right_here, sections_of

TRAIN, STOP = "train", "stop"
"""What the newdata task says."""


def retrain(
    place: Place = right_here, run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER
) -> dsl.base_component.BaseComponent:
    """The retraining pipeline.

    Args:
        place: where tasks run.
        run_id: names the run; on a cluster Kubeflow's id of it.
    """

    @dsl.pipeline(name="hazardline-retrain", description="Today's footage to a new champion, where it is worth it.")
    def on_new_footage(
        ingest_section: str,
        newdata_section: str,
        split_section: str,
        synthesize_section: str,
        train_section: str,
        evaluate_section: str,
        gate_section: str,
        register_section: str,
        export_section: str,
        release_section: str,
        device_section: str,
        notify_section: str,
        model_name: str,
    ) -> None:
        sections = sections_of(locals())
        told = placed(notify(section=notify_section, run_id=run_id), place)
        with dsl.ExitHandler(exit_task=told, name="notice"):
            clips = record_of(ingest(section=ingest_section), place)
            decided = newdata(section=newdata_section, model_name=model_name, ingest=clips)
            verdict = record_of(decided, place)
            known = {"run_id": run_id, "model_name": model_name, "newdata": verdict}
            with dsl.If(decided.outputs["Output"] == TRAIN, name="training-is-due"):
                judged = from_clips(clips, place, sections, model_name, champion_is_reevaluated=True)
                placed(conclude(**known, gate=judged.gate, register=judged.register), place)
            with dsl.If(decided.outputs["Output"] == STOP, name="nothing-to-do"):
                placed(conclude(**known), place)

    return on_new_footage


def retraining_arguments(recipe: Recipe) -> dict[str, str]:
    """The pipeline's parameters: a section a task, as JSON, and whose champion is looked at.

    Raises:
        UserError: the recipe has no section `retrain`, or its gate would not compare the candidate with the champion.
    """
    section = retrain_section(recipe)
    policy = read_policy(recipe.gate.policy)
    if not any(isinstance(rule, NoRegressionRule) for rule in policy.rules):
        raise UserError(
            f"recipe {recipe.name}: gate.policy {policy.name} has no rule of kind no_regression, so a retrained model "
            "would replace the champion without a comparison; add such a rule"
        )
    register = {**json.loads(recipe.section_json("register")), "approval": section.approval}
    newdata_config = NewdataConfig(dataset=section.dataset, trigger=section.trigger)
    return {
        **arguments_of(recipe),
        "register_section": canonical_json(register).decode(),
        "newdata_section": newdata_config.model_dump_json(),
        "notify_section": notice_config(recipe).model_dump_json(),
    }


def notice_config(recipe: Recipe) -> NoticeConfig:
    """Whom to tell of the runs of a recipe."""
    return NoticeConfig(
        **retrain_section(recipe).notify.data(), recipe=recipe.name, model_name=recipe.register_.model_name
    )


def retrain_section(recipe: Recipe) -> RetrainConfig:
    """The recipe's section `retrain`.

    Raises:
        UserError: it has none.
    """
    if recipe.retrain is None:
        raise UserError(
            f"recipe {recipe.name}: no section retrain, so it cannot be retrained on a schedule; docs/retraining.md "
            "says what goes into it"
        )
    return recipe.retrain
