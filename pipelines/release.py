"""The release pipeline: the registry's champion to the devices, apart from the run that trained it.

A candidate that waits for approval becomes champion after its run has ended. This takes up the line where that run left
it: export, which is reused where the run has made it, release and device. Run again it changes nothing.
"""

from kfp import dsl

from hazardline.recipe import Recipe

from components.recall.component import recall
from pipelines.fine_tune import Place, placed, right_here, sections_of, to_devices

TASKS = ("recall", "export", "release", "device")


def release_champion(place: Place = right_here) -> dsl.base_component.BaseComponent:
    """The release pipeline."""

    @dsl.pipeline(name="hazardline-release", description="The champion to the devices.")
    def of_champion(export_section: str, release_section: str, device_section: str, model_name: str) -> None:
        sections = sections_of(locals())
        to_devices(placed(recall(model_name=model_name), place).outputs, place, sections)

    return of_champion


def release_arguments(recipe: Recipe) -> dict[str, str]:
    """The pipeline's parameters."""
    sections = {f"{name}_section": recipe.section_json(name) for name in ("export", "release", "device")}
    return {**sections, "model_name": recipe.register_.model_name}
