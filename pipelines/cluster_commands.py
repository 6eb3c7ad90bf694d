"""The commands that need a cluster or its settings: compile, submit, schedule."""

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from hazardline import environment
from hazardline.errors import UserError
from hazardline.notify.signature import MLFLOW, key_of
from hazardline.recipe import Recipe, load_recipe

from components.cluster import RESOURCES_PATH, ClusterResources, read_resources
from components.image_lock import LOCK_PATH, parse_digests, read_lock, references
from pipelines.cron import parse_cron
from pipelines.endpoint import Access, Endpoint
from pipelines.package import WRITE, Package, Which, pipeline_name, pipeline_version
from pipelines.placement import OnCluster
from pipelines.schedules import Schedule, disable, list_all, reconcile, remove
from pipelines.submission import start, upload
from pipelines.watching import Ended, resume, watch

RUN_FAILED_STATUS = 1

RecipeArgument = Annotated[Path, typer.Argument(help="The recipe, for example recipes/crashchat_pocket.yaml.")]
OptionalRecipe = Annotated[Path | None, typer.Argument(help="The recipe, for example recipes/crashchat_pocket.yaml.")]
HostOption = Annotated[
    str | None, typer.Option(help="Address of the Kubeflow Pipelines API (default: KF_PIPELINES_ENDPOINT).")
]
NamespaceOption = Annotated[
    str | None, typer.Option(help="Your namespace in the cluster (default: that of the table of resources).")
]
ExperimentOption = Annotated[str, typer.Option(help="The experiment that runs belong to.")]
ResourcesOption = Annotated[
    Path, typer.Option("--resources", help="Table of resources.", show_default="components/resources.yaml")
]
LockOption = Annotated[
    Path, typer.Option("--lock", help="Lock file of images.", show_default="docker/images.lock.yaml")
]
RegistryOption = Annotated[str | None, typer.Option(help="Where the images are: HOST or HOST/PATH.")]
DigestOption = Annotated[
    list[str] | None, typer.Option("--image-digest", help="NAME=sha256:..., before the lock file's; may be repeated.")
]
PipelineOption = Annotated[
    Which, typer.Option("--pipeline", help="Which of the recipe's pipelines: docs/retraining.md.")
]


def compile_recipe(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write (.yaml).")] = None,
    resources: ResourcesOption = RESOURCES_PATH,
    lock: LockOption = LOCK_PATH,
    registry: RegistryOption = None,
    image_digest: DigestOption = None,
    pipeline: PipelineOption = "line",
) -> None:
    """Write the versioned pipeline YAML that a Kubeflow Pipelines user interface takes."""
    loaded = load_recipe(recipe)
    if out is not None and out.suffix != ".yaml":
        raise UserError(f"--out {out}: expected a name that ends in .yaml")
    package = _package(loaded, pipeline, _place(read_resources(resources), lock, registry, image_digest), out)
    typer.echo(f"wrote {package.path}: {package.name} {package.version}")


def submit_recipe(
    recipe: OptionalRecipe = None,
    host: HostOption = None,
    experiment: ExperimentOption = "hazardline",
    namespace: NamespaceOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end; status 1 where it failed.")] = False,
    resume_run: Annotated[
        str | None, typer.Option("--resume", metavar="RUN_ID", help="Follow a run; try it again where it failed.")
    ] = None,
    resources: ResourcesOption = RESOURCES_PATH,
    lock: LockOption = LOCK_PATH,
    registry: RegistryOption = None,
    image_digest: DigestOption = None,
    pipeline: PipelineOption = "line",
) -> None:
    """Start a run on a cluster: upload pipeline and version where they are new, and run that version.

    Credentials: HAZARDLINE_KFP_TOKEN or HAZARDLINE_KFP_COOKIES, or what kfp.Client finds.
    """
    if (recipe is None) == (resume_run is None):
        raise UserError("give a recipe to start a run of it, or --resume RUN_ID to go on with one")
    table = read_resources(resources)
    if resume_run is not None:
        endpoint = Endpoint(Access.of(host, namespace or table.namespace))
        _tell_end(endpoint, resume_run, resume(endpoint, resume_run, typer.echo))
        return
    assert recipe is not None
    package = _package(load_recipe(recipe), pipeline, _place(table, lock, registry, image_digest))
    endpoint = Endpoint(Access.of(host, namespace or table.namespace))
    uploaded = upload(endpoint, package)
    typer.echo(f"{package.name} {package.version} {'was uploaded' if uploaded.is_new else 'is there already'}")
    run_id = start(endpoint, package, uploaded, experiment, table.service_account)
    typer.echo(f"run {run_id} was started: {endpoint.run_url(run_id)}")
    if wait:
        _tell_end(endpoint, run_id, watch(endpoint, run_id, typer.echo))


def schedule_recipe(
    recipe: OptionalRecipe = None,
    cron: Annotated[str | None, typer.Option(help='Six fields, seconds first: "0 0 3 * * *" is 03:00.')] = None,
    name: Annotated[str | None, typer.Option(help="Of the schedule (default: the pipeline's name).")] = None,
    disabled: Annotated[bool, typer.Option("--disable", help="Keep the schedule, but start nothing.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the schedule; its runs stay.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show all schedules of the namespace.")] = False,
    host: HostOption = None,
    experiment: ExperimentOption = "hazardline",
    namespace: NamespaceOption = None,
    resources: ResourcesOption = RESOURCES_PATH,
    lock: LockOption = LOCK_PATH,
    registry: RegistryOption = None,
    image_digest: DigestOption = None,
    pipeline: PipelineOption = "line",
) -> None:
    """Have a recipe run at given times: one schedule of that name, changed only where something has changed."""
    if disabled + delete + listed > 1:
        raise UserError("--disable, --delete and --list exclude one another")
    table = read_resources(resources)
    access = Access.of(host, namespace or table.namespace)
    if listed:
        for found in list_all(Endpoint(access)):
            typer.echo(f"{found.name}  {found.cron}  {'on' if found.is_enabled else 'off'}  {found.description}")
        return
    loaded = load_recipe(recipe) if recipe is not None else None
    named = name or (pipeline_name(loaded, pipeline) if loaded is not None else None)
    if named is None:
        raise UserError("give a recipe, or --name")
    if delete or (disabled and cron is None):
        change = (remove if delete else disable)(Endpoint(access), named)
        typer.echo(f"schedule {named}: {change}")
        return
    if loaded is None or cron is None:
        raise UserError("a schedule needs a recipe and --cron")
    checked = parse_cron(cron)
    package = _package(loaded, pipeline, _place(table, lock, registry, image_digest))
    endpoint = Endpoint(access)
    uploaded = upload(endpoint, package)
    wanted = Schedule(named, checked, package, uploaded, experiment, table.service_account, not disabled)
    typer.echo(f"schedule {named}: {reconcile(endpoint, wanted)} ({checked}, {package.version})")


def listen_to_mlflow(
    recipe: RecipeArgument,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8080,
    host: HostOption = None,
    experiment: ExperimentOption = "hazardline",
    namespace: NamespaceOption = None,
    resources: ResourcesOption = RESOURCES_PATH,
    lock: LockOption = LOCK_PATH,
    registry: RegistryOption = None,
    image_digest: DigestOption = None,
) -> None:
    """Start the release pipeline on the cluster whenever MLflow tells of a new champion (docs/retraining.md)."""
    from pipelines.listen import serve

    secret = environment.mlflow_webhook_secret()
    if secret is None:
        raise UserError(f"{environment.MLFLOW_WEBHOOK_SECRET} is not set; set it to the secret of MLflow's webhook")
    key_of(secret, MLFLOW)
    loaded, table = load_recipe(recipe), read_resources(resources)
    package = _package(loaded, "release", _place(table, lock, registry, image_digest))
    access = Access.of(host, namespace or table.namespace)

    def start_release() -> str:
        endpoint = Endpoint(access)
        return start(endpoint, package, upload(endpoint, package), experiment, table.service_account)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a container's first process ends at no signal by itself
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model_name = loaded.register_.model_name
    with serve(port, secret, model_name, start_release) as server:
        typer.echo(f"listening on port {server.server_port} for champions of {model_name}")
        server.serve_forever()


def _place(table: ClusterResources, lock: Path, registry: str | None, digests: list[str] | None) -> OnCluster:
    return OnCluster(
        table, references(table.image_names(), read_lock(lock), str(lock), parse_digests(digests or []), registry)
    )


def _package(recipe: Recipe, which: Which, place: OnCluster, out: Path | None = None) -> Package:
    """Compile a pipeline of a recipe, into the home folder where no file is named."""
    suffix = "" if which == "line" else f"-{which}"
    name = f"{recipe.name}{suffix}-{pipeline_version(recipe)}.yaml"
    return WRITE[which](recipe, out or environment.home() / "pipelines" / name, place)


def _tell_end(endpoint: Endpoint, run_id: str, ended: Ended) -> None:
    """Say how a run ended.

    Raises:
        typer.Exit: with status 1 where it did not succeed.
    """
    if ended.is_success:
        typer.echo(f"run {run_id} succeeded: {endpoint.run_url(run_id)}")
        return
    for task, message in ended.failed_tasks.items():
        print(f"{task} failed: {message}", file=sys.stderr)
    reason = f": {ended.error}" if ended.error else ""
    print(f"run {run_id} {ended.state.lower()}{reason}; see {endpoint.run_url(run_id)}", file=sys.stderr)
    print(f"to try it again from there: python -m pipelines submit --resume {run_id}", file=sys.stderr)
    raise typer.Exit(RUN_FAILED_STATUS)
