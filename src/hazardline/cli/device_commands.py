"""`hazardline device`: what runs on a vehicle's computer, and the stage by hand. Nothing here imports torch."""

from pathlib import Path
from typing import Annotated

import typer

from hazardline.cli.options import InputOption, OutOption, RecipeOption
from hazardline.errors import UserError

app = typer.Typer()
StateOption = Annotated[
    Path | None, typer.Option("--state", help="Folder of the device; `device` below the hazardline home by default.")
]


@app.callback(invoke_without_command=True)
def device(
    context: typer.Context, out: OutOption = None, recipe: RecipeOption = None, inputs: InputOption = None
) -> None:
    """Update a device from the repository, check its health, and ask it its tasks."""
    if context.invoked_subcommand is None:
        from hazardline.cli.by_hand import run_stage_by_hand

        run_stage_by_hand("device", recipe, inputs or [], out, {})


@app.command("update")
def update_device(
    repository: Annotated[
        str | None, typer.Option(help="Folder, file:// or http(s) address; by default the one of this machine.")
    ] = None,
    model: Annotated[str, typer.Option(help="Line of releases.")] = "crashchat",
    channel: Annotated[str, typer.Option(help="Channel to follow.")] = "stable",
    state: StateOption = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Trusted root.json: provisions a device that is not there yet.")
    ] = None,
) -> None:
    """Fetch, verify, stage, check and switch; status 2 where the device keeps what it ran."""
    from hazardline import environment
    from hazardline.device.config import DeviceConfig
    from hazardline.device.health import check_health
    from hazardline.device.state import DeviceFolder, provision
    from hazardline.device.update import Request, update
    from hazardline.release.destination import open_destination

    config = DeviceConfig(state=str(state) if state else None)
    folder = config.state_folder()
    if anchor is not None and not anchor.is_file():
        raise UserError(f"--anchor {anchor}: no such file; expected the root.json of the repository's owner")
    target = provision(folder, anchor.read_bytes()) if anchor is not None else DeviceFolder(folder)
    request = Request(repository or open_destination(environment.repository()).address(), model, channel)
    outcome = update(
        target,
        request,
        lambda bundle: check_health(bundle, config.health),
        lambda bundle: check_health(bundle, config.health, max_clips=1),
    )
    if outcome.status not in ("installed", "unchanged"):
        raise UserError(f"{folder}: not updated, {outcome.status} ({outcome.kind}): {outcome.reason}")
    typer.echo(f"{outcome.status}: {outcome.reason}; {outcome.downloaded_bytes} bytes downloaded")


@app.command("status")
def show_status(state: StateOption = None) -> None:
    """Say what the device runs, and what it refused."""
    from hazardline.device.config import DeviceConfig
    from hazardline.device.state import DeviceFolder

    folder = DeviceConfig(state=str(state) if state else None).state_folder()
    found = DeviceFolder(folder).read()
    record = found.record()
    typer.echo(f"device {folder}")
    typer.echo(f"runs: slot {found.current}, release {record.version}" if record else "runs: nothing yet")
    for name, slot in sorted(found.slots.items()):
        typer.echo(f"slot {name}: release {slot.version}")
    for digest, refusal in found.refused.items():
        typer.echo(f"refused {digest[:12]}: {refusal.reason}")
    if found.last_fall_back:
        typer.echo(f"last fall-back: {found.last_fall_back}")


@app.command("infer")
def infer(
    bundle: Annotated[Path, typer.Option(help="Folder of a bundle: an export's `bundle`, or a slot.")],
    clip: Annotated[Path, typer.Option(help="Video or image file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Answer a bundle's tasks about a clip or an image with ONNX Runtime alone."""
    from hazardline.device.bundle import verify_bundle
    from hazardline.device.infer import infer_command

    verify_bundle(bundle)
    raise typer.Exit(infer_command(bundle, clip, as_json))


@app.command("check")
def check_bundle(
    bundle: Annotated[Path, typer.Option(help="Folder of a bundle: an export's `bundle`, or a slot.")],
) -> None:
    """Verify a bundle and let it answer its golden clips, as an update would; status 2 where it may not run."""
    from hazardline.device.bundle import verify_bundle
    from hazardline.device.config import HealthLimits
    from hazardline.device.health import check_health

    verify_bundle(bundle)
    found = check_health(bundle, HealthLimits())
    if found.report is None or not found.passed:
        raise UserError(f"{bundle}: may not run here: {'; '.join(found.reasons)}")
    slowest_s = max(clip.latency_s for clip in found.report.clips)
    typer.echo(
        f"{bundle}: may run here; {len(found.report.clips)} golden clips, slowest {slowest_s:.2f} s, "
        f"peak memory {found.report.peak_memory_mb:.0f} MB"
    )
