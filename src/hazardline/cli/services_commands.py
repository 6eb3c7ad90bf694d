"""`hazardline services`: MLflow, PostgreSQL and S3 for a small team, on one machine."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
START_TIMEOUT_S = 180.0
TimeoutOption = Annotated[float, typer.Option("--timeout-s", help="How long each service may take to come up.")]
PortOption = typer.Option(help="Port on this machine; kept for later starts.")
FolderArgument = Annotated[Path, typer.Argument(help="Folder of the backup.")]


@app.command("up")
def start(
    mlflow_port: Annotated[int | None, PortOption] = None,
    mlflow_workers: Annotated[int | None, typer.Option(help="Processes of MLflow; kept for later starts.")] = None,
    postgres_port: Annotated[int | None, PortOption] = None,
    s3_port: Annotated[int | None, PortOption] = None,
    ceph_port: Annotated[int | None, typer.Option(help="Port of Ceph's monitor; at the first start only.")] = None,
    s3_gb: Annotated[int | None, typer.Option(help="What the S3 server may hold; at the first start only.")] = None,
    bucket_prefix: Annotated[str | None, typer.Option(help="Names of the buckets; at the first start only.")] = None,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Bring MLflow's database up to this MLflow.")] = False,
    timeout_s: TimeoutOption = START_TIMEOUT_S,
) -> None:
    """Start what does not run. HAZARDLINE_S3_ENDPOINT names an S3 server of your own, at the first start."""
    from hazardline.services.installation import Installation
    from hazardline.services.stack import up

    asked = {
        "mlflow_port": mlflow_port,
        "mlflow_workers": mlflow_workers,
        "postgres_port": postgres_port,
        "s3_port": s3_port,
        "ceph_port": ceph_port,
        "s3_gb": s3_gb,
        "bucket_prefix": bucket_prefix,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    up(Installation(), changes, timeout_s, upgrade, typer.echo)


@app.command("down")
def stop() -> None:
    """Stop all; what they hold stays."""
    from hazardline.services.installation import Installation
    from hazardline.services.stack import down

    down(Installation())
    typer.echo("stopped")


@app.command("status")
def show() -> None:
    """Say what is up; status 1 where something is not."""
    from hazardline.services.installation import Installation
    from hazardline.services.stack import Stack

    installation = Installation()
    states = Stack(installation, installation.settings()).states()
    for state in states:
        typer.echo(f"{state.name:<9} {'up  ' if state.is_up else 'DOWN'}  {state.detail}")
    if not all(state.is_up for state in states):
        typer.echo(f"logs: {installation.folder / 'logs'}; `make services` starts what is down")
        raise typer.Exit(1)


@app.command("rotate")
def rotate_secrets(timeout_s: TimeoutOption = START_TIMEOUT_S) -> None:
    """Make new passwords and keys; the old ones end, and the env file holds the new ones."""
    from hazardline.services.installation import Installation
    from hazardline.services.stack import rotate

    installation = Installation()
    rotate(installation, timeout_s, typer.echo)
    typer.echo(f"rotated; runs must read {installation.env_path} anew")


@app.command("backup")
def back_up(folder: FolderArgument) -> None:
    """Write MLflow's databases and artifacts into a new folder, while the services run."""
    from hazardline.services.backup import backup
    from hazardline.services.installation import Installation

    made = backup(Installation(), folder)
    typer.echo(f"{folder}: {len(made.dumps)} databases, {made.num_objects} artifacts, {made.size_bytes} bytes")


@app.command("restore")
def restore_backup(folder: FolderArgument, timeout_s: TimeoutOption = START_TIMEOUT_S) -> None:
    """Start everything with what a backup holds; the installation holds nothing yet, or does not exist."""
    from hazardline.services.backup import restore
    from hazardline.services.installation import Installation

    found = restore(Installation(), folder, timeout_s, typer.echo)
    typer.echo(f"restored {found.num_objects} artifacts and {len(found.dumps)} databases of {found.made_at}")
