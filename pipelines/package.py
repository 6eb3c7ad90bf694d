"""A recipe as a pipeline package: the YAML that a Kubeflow Pipelines user interface takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from kfp import compiler, dsl

from hazardline.files import sha256_file, write_atomic
from hazardline.recipe import Recipe

from pipelines.fine_tune import Place, arguments_of, pipeline_for
from pipelines.release import release_arguments, release_champion
from pipelines.retrain import retrain, retraining_arguments

Which = Literal["line", "retrain", "release"]
"""The pipelines of a recipe: the line itself, and what stands beside it."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline."""

    path: Path
    name: str
    """Of the pipeline that it is a version of."""
    version: str
    """Ends with the digest of the file: the same version has the same graph, sections, images and resources."""
    description: str


def pipeline_name(recipe: Recipe, which: Which = "line") -> str:
    """Name of one of the pipelines that a recipe becomes."""
    name = f"hazardline-{recipe.name.replace('_', '-')}"
    return name if which == "line" else f"{name}-{which}"


def pipeline_version(recipe: Recipe) -> str:
    """What the user interface shows beside the name: version of the library, first 12 digits of the recipe's digest."""
    return f"{metadata.version('hazardline')}-{recipe.digest()[:12]}"


def write_package(recipe: Recipe, path: Path, place: Place) -> Package:
    """Compile a recipe's pipeline. The sections are the defaults of its parameters.

    The version stands in the description, where the user interface shows it, since a pipeline file has no field for it.
    """
    return write_pipeline(
        pipeline_for(recipe, place),
        path,
        name=pipeline_name(recipe),
        display_name=f"{recipe.name} {pipeline_version(recipe)}",
        arguments=arguments_of(recipe),
        version=pipeline_version(recipe),
        description=recipe.purpose,
    )


def write_retraining_package(recipe: Recipe, path: Path, place: Place) -> Package:
    """Compile the retraining pipeline of a recipe.

    Raises:
        UserError: the recipe cannot be retrained on a schedule.
    """
    return _write_beside(recipe, path, "retrain", retrain(place), retraining_arguments(recipe))


def write_release_package(recipe: Recipe, path: Path, place: Place) -> Package:
    """Compile the release pipeline of a recipe."""
    return _write_beside(recipe, path, "release", release_champion(place), release_arguments(recipe))


def _write_beside(
    recipe: Recipe,
    path: Path,
    which: Which,
    pipeline: dsl.base_component.BaseComponent,
    arguments: Mapping[str, str],
) -> Package:
    """Compile a pipeline that stands beside the recipe's line."""
    return write_pipeline(
        pipeline,
        path,
        name=pipeline_name(recipe, which),
        display_name=f"{recipe.name} {which} {pipeline_version(recipe)}",
        arguments=arguments,
        version=pipeline_version(recipe),
        description=f"{which.capitalize()}. {recipe.purpose}",
    )


def write_pipeline(
    pipeline: dsl.base_component.BaseComponent,
    path: Path,
    *,
    name: str,
    display_name: str,
    arguments: Mapping[str, str],
    version: str,
    description: str,
) -> Package:
    """Compile any pipeline.

    Args:
        pipeline: the pipeline, its tasks in their places.
        path: the file to write.
        name: name of the pipeline.
        display_name: what the user interface shows.
        arguments: defaults of its parameters.
        version: first part of the package's version; the digest of the file is added.
        description: what it is for.
    """
    making = path.with_name(f".{path.stem}.making.yaml")
    making.parent.mkdir(parents=True, exist_ok=True)
    try:
        compiler.Compiler().compile(
            pipeline,
            str(making),
            pipeline_name=name,
            pipeline_display_name=display_name,
            pipeline_parameters=dict(arguments),
        )
        write_atomic(path, making.read_bytes())
    finally:
        making.unlink(missing_ok=True)
    return Package(path, name, f"{version}-{sha256_file(path)[:12]}", description)


WRITE: Mapping[Which, Callable[[Recipe, Path, Place], Package]] = {
    "line": write_package,
    "retrain": write_retraining_package,
    "release": write_release_package,
}
"""How each of them is compiled."""
