"""The line: from clips to a signed model on a device, as Kubeflow pipelines.

A stage's section is one parameter, a JSON string: KFP would turn whole numbers inside a mapping into floats. What
passes between tasks are small records; the data stay in the content-addressed store. Two pipelines differ in where
clips come from: a simulator (`fine_tune`), or footage on disk that `ingest.root` names (`fine_tune_footage`).

KFP's own cache is off for every task: its key sees neither the library's code nor footage on disk nor the registry, the
store's key sees them all.

Where tasks run is said once for each of them, by a `Place`: a local run leaves them as they are, a compiled pipeline
puts them into pods (`pipelines/placement.py`). The graph is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from hazardline.recipe import Recipe

from components.device.component import device
from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.ingest.component import ingest
from components.reevaluate.component import reevaluate
from components.register.component import register
from components.release.component import release
from components.simulate.component import simulate
from components.split.component import split
from components.synthesize.component import synthesize
from components.train.component import train

Channel = dsl.pipeline_channel.PipelineArtifactChannel
"""A task's record, as the tasks that follow are given it."""
Place = Callable[[dsl.PipelineTask], dsl.PipelineTask]
"""Says of a task where it runs, and returns it."""
_SECTION = "_section"


def right_here(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """The place of a local run: nothing is said of the task."""
    return task


@dataclass(frozen=True)
class Judged:
    """Records that say what became of a candidate."""

    gate: Channel
    register: Channel


def from_clips(
    clips: Channel, place: Place, sections: Mapping[str, str], model_name: str, *, champion_is_reevaluated: bool = False
) -> Judged:
    """What follows ingest, from its record. A closed gate ends the line after the candidate has been recorded.

    Args:
        clips: ingest's record.
        place: where tasks run.
        sections: of the stages that follow, by their names.
        model_name: the registered model whose champion the gate looks at.
        champion_is_reevaluated: whether that is the champion as evaluated on this run's test set, or else as it was
            when it was registered.
    """
    parts = record_of(split(section=sections["split"], ingest=clips), place)
    questions = record_of(synthesize(section=sections["synthesize"], ingest=clips, split=parts), place)
    branches = record_of(train(section=sections["train"], ingest=clips, synthesize=questions), place)
    report = record_of(
        evaluate(section=sections["evaluate"], ingest=clips, split=parts, synthesize=questions, train=branches), place
    )
    known = {}
    if champion_is_reevaluated:
        again = reevaluate(
            section=sections["evaluate"], model_name=model_name, ingest=clips, split=parts, synthesize=questions
        )
        known["champion"] = record_of(again, place)
    decided = gate(section=sections["gate"], model_name=model_name, evaluate=report, **known)
    verdict = record_of(decided, place)
    registered = record_of(
        register(
            section=sections["register"],
            ingest=clips,
            split=parts,
            synthesize=questions,
            train=branches,
            evaluate=report,
            gate=verdict,
        ),
        place,
    )
    made = {"ingest": clips, "synthesize": questions, "train": branches, "evaluate": report, "register": registered}
    with dsl.If(decided.outputs["Output"] == "open", name="gate-is-open"):
        to_devices(made, place, sections)
    return Judged(verdict, registered)


def to_devices(made: Mapping[str, Channel], place: Place, sections: Mapping[str, str]) -> None:
    """Export, release and device.

    Args:
        made: records of ingest, synthesize, train, evaluate and register, by these names.
        place: where tasks run.
        sections: of these three stages, by their names.
    """
    bundle = record_of(
        export(
            section=sections["export"],
            ingest=made["ingest"],
            synthesize=made["synthesize"],
            train=made["train"],
            evaluate=made["evaluate"],
        ),
        place,
    )
    released = record_of(release(section=sections["release"], export=bundle, register=made["register"]), place)
    record_of(
        device(section=sections["device"], release=released, ingest=made["ingest"], synthesize=made["synthesize"]),
        place,
    )


def sections_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The sections among a pipeline's parameters, by stage. KFP reads a signature, so there each is spelt out."""
    return {name.removesuffix(_SECTION): value for name, value in parameters.items() if name.endswith(_SECTION)}


def placed(task: dsl.PipelineTask, place: Place) -> dsl.PipelineTask:
    """A task in its place; it runs every time it is asked to."""
    return place(task).set_caching_options(False)


def record_of(task: dsl.PipelineTask, place: Place) -> Channel:
    """The record of a task in its place, for the tasks that follow."""
    return placed(task, place).outputs["record"]


def fine_tune(place: Place = right_here) -> dsl.base_component.BaseComponent:
    """The whole line on simulated clips."""

    @dsl.pipeline(name="hazardline-fine-tune", description="Simulated clips to a signed model on a device.")
    def on_simulated_clips(
        simulate_section: str,
        ingest_section: str,
        split_section: str,
        synthesize_section: str,
        train_section: str,
        evaluate_section: str,
        gate_section: str,
        register_section: str,
        export_section: str,
        release_section: str,
        device_section: str,
        model_name: str,
    ) -> None:
        sections = sections_of(locals())
        simulated = record_of(simulate(section=simulate_section), place)
        clips = record_of(ingest(section=ingest_section, simulate=simulated), place)
        from_clips(clips, place, sections, model_name)

    return on_simulated_clips


def fine_tune_footage(place: Place = right_here) -> dsl.base_component.BaseComponent:
    """The line on footage."""

    @dsl.pipeline(name="hazardline-fine-tune-footage", description="Footage on disk to a signed model on a device.")
    def on_footage(
        ingest_section: str,
        split_section: str,
        synthesize_section: str,
        train_section: str,
        evaluate_section: str,
        gate_section: str,
        register_section: str,
        export_section: str,
        release_section: str,
        device_section: str,
        model_name: str,
    ) -> None:
        sections = sections_of(locals())
        from_clips(record_of(ingest(section=ingest_section), place), place, sections, model_name)

    return on_footage


def pipeline_for(recipe: Recipe, place: Place = right_here) -> dsl.base_component.BaseComponent:
    """The pipeline that a recipe runs in."""
    return fine_tune(place) if recipe.simulate is not None else fine_tune_footage(place)


def arguments_of(recipe: Recipe) -> dict[str, str]:
    """The pipeline's parameters: a section a stage, as JSON, and whose champion the gate looks at."""
    sections = {f"{stage.name}{_SECTION}": recipe.section_json(stage.name) for stage in recipe.stages()}
    return {**sections, "model_name": recipe.register_.model_name}
