"""A recipe as a pipeline package: the YAML that a Kubeflow Pipelines user interface takes."""

from importlib import metadata
from pathlib import Path

from kfp import compiler

from hazardline.files import write_atomic
from hazardline.recipe import Recipe

from pipelines.fine_tune import arguments_of, pipeline_for


def pipeline_name(recipe: Recipe) -> str:
    """Name of the pipeline that a recipe becomes."""
    return f"hazardline-{recipe.name.replace('_', '-')}"


def pipeline_version(recipe: Recipe) -> str:
    """Version of that pipeline: of the library, and the first 12 digits of the recipe's digest."""
    return f"{metadata.version('hazardline')}-{recipe.digest()[:12]}"


def write_package(recipe: Recipe, path: Path) -> None:
    """Compile a recipe's pipeline. The sections are the defaults of its parameters.

    The version stands in the description, where the user interface shows it, since a pipeline file has no field for it.
    """
    making = path.with_name(f".{path.stem}.making.yaml")
    making.parent.mkdir(parents=True, exist_ok=True)
    pipeline = pipeline_for(recipe)
    try:
        compiler.Compiler().compile(
            pipeline,
            str(making),
            pipeline_name=pipeline_name(recipe),
            pipeline_display_name=f"{recipe.name} {pipeline_version(recipe)}",
            pipeline_parameters=arguments_of(recipe),
        )
        write_atomic(path, making.read_bytes())
    finally:
        making.unlink(missing_ok=True)
