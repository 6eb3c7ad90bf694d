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

from kfp import dsl

from hazardline.recipe import Recipe

from components.device.component import device
from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.ingest.component import ingest
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


def _from_clips(
    ingested: dsl.PipelineTask,
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
) -> None:
    """What follows ingest. A closed gate ends the line after the candidate has been recorded."""
    clips = _record(ingested, place)
    parts = _record(split(section=split_section, ingest=clips), place)
    questions = _record(synthesize(section=synthesize_section, ingest=clips, split=parts), place)
    branches = _record(train(section=train_section, ingest=clips, synthesize=questions), place)
    report = _record(
        evaluate(section=evaluate_section, ingest=clips, split=parts, synthesize=questions, train=branches), place
    )
    decided = gate(section=gate_section, model_name=model_name, evaluate=report)
    registered = _record(
        register(
            section=register_section,
            ingest=clips,
            split=parts,
            synthesize=questions,
            train=branches,
            evaluate=report,
            gate=_record(decided, place),
        ),
        place,
    )
    with dsl.If(decided.outputs["Output"] == "open", name="gate-is-open"):
        bundle = _record(
            export(section=export_section, ingest=clips, synthesize=questions, train=branches, evaluate=report), place
        )
        released = _record(release(section=release_section, export=bundle, register=registered), place)
        _record(device(section=device_section, release=released, ingest=clips, synthesize=questions), place)


def _record(task: dsl.PipelineTask, place: Place) -> dsl.pipeline_channel.PipelineArtifactChannel:
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
        simulated = _record(simulate(section=simulate_section), place)
        _from_clips(
            ingest(section=ingest_section, simulate=simulated),
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
        _from_clips(
            ingest(section=ingest_section),
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
