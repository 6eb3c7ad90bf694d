"""The line: from clips to a signed model on a device, as Kubeflow pipelines.

A stage's section is one parameter, a JSON string: KFP would turn whole numbers inside a mapping into floats. What
passes between tasks are small records; the data stay in the content-addressed store. Two pipelines differ in where
clips come from: a simulator (`fine_tune`), or footage on disk that `ingest.root` names (`fine_tune_footage`).

KFP's own cache is off for every task: its key sees neither the library's code nor footage on disk nor the registry, the
store's key sees them all.

Where tasks run is said once for each of them, by a `Place`: a local run leaves them as they are, a compiled pipeline
puts them into pods (`pipelines/placement.py`). The graph is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

Place = Callable[[dsl.PipelineTask], dsl.PipelineTask]
"""Says of a task where it runs, and returns it."""


def right_here(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """The place of a local run: nothing is said of the task."""
    return task


@dataclass(frozen=True)
class Judged:
    """Records that say what became of a candidate."""

    gate: dsl.pipeline_channel.PipelineArtifactChannel
    register: dsl.pipeline_channel.PipelineArtifactChannel


def from_clips(
    clips: dsl.pipeline_channel.PipelineArtifactChannel,
    place: Place,
    *,
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
    champion_is_reevaluated: bool = False,
) -> Judged:
    """What follows ingest, from its record. A closed gate ends the line after the candidate has been recorded.

    With `champion_is_reevaluated` the gate looks at the champion as evaluated on this run's test set, otherwise at the
    evaluation that it was registered with.
    """
    parts = record_of(split(section=split_section, ingest=clips), place)
    questions = record_of(synthesize(section=synthesize_section, ingest=clips, split=parts), place)
    branches = record_of(train(section=train_section, ingest=clips, synthesize=questions), place)
    report = record_of(
        evaluate(section=evaluate_section, ingest=clips, split=parts, synthesize=questions, train=branches), place
    )
    known = {}
    if champion_is_reevaluated:
        again = reevaluate(
            section=evaluate_section, model_name=model_name, ingest=clips, split=parts, synthesize=questions
        )
        known["champion"] = record_of(again, place)
    decided = gate(section=gate_section, model_name=model_name, evaluate=report, **known)
    verdict = record_of(decided, place)
    registered = record_of(
        register(
            section=register_section,
            ingest=clips,
            split=parts,
            synthesize=questions,
            train=branches,
            evaluate=report,
            gate=verdict,
        ),
        place,
    )
    with dsl.If(decided.outputs["Output"] == "open", name="gate-is-open"):
        bundle = record_of(
            export(section=export_section, ingest=clips, synthesize=questions, train=branches, evaluate=report), place
        )
        released = record_of(release(section=release_section, export=bundle, register=registered), place)
        record_of(device(section=device_section, release=released, ingest=clips, synthesize=questions), place)
    return Judged(verdict, registered)


def record_of(task: dsl.PipelineTask, place: Place) -> dsl.pipeline_channel.PipelineArtifactChannel:
    """A task's record, for the tasks that follow; the task runs in its place, every time it is asked to."""
    return place(task).set_caching_options(False).outputs["record"]


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
        simulated = record_of(simulate(section=simulate_section), place)
        from_clips(
            record_of(ingest(section=ingest_section, simulate=simulated), place),
            place,
            split_section=split_section,
            synthesize_section=synthesize_section,
            train_section=train_section,
            evaluate_section=evaluate_section,
            gate_section=gate_section,
            register_section=register_section,
            export_section=export_section,
            release_section=release_section,
            device_section=device_section,
            model_name=model_name,
        )

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
        from_clips(
            record_of(ingest(section=ingest_section), place),
            place,
            split_section=split_section,
            synthesize_section=synthesize_section,
            train_section=train_section,
            evaluate_section=evaluate_section,
            gate_section=gate_section,
            register_section=register_section,
            export_section=export_section,
            release_section=release_section,
            device_section=device_section,
            model_name=model_name,
        )

    return on_footage


def pipeline_for(recipe: Recipe, place: Place = right_here) -> dsl.base_component.BaseComponent:
    """The pipeline that a recipe runs in."""
    return fine_tune(place) if recipe.simulate is not None else fine_tune_footage(place)


def arguments_of(recipe: Recipe) -> dict[str, str]:
    """The pipeline's parameters: a section a stage, as JSON, and whose champion the gate looks at."""
    sections = {f"{stage.name}_section": recipe.section_json(stage.name) for stage in recipe.stages()}
    return {**sections, "model_name": recipe.register_.model_name}
