"""`hazardline register`: the stage by hand, and who is and was champion."""

from typing import Annotated

import typer

from hazardline.cli.options import InputOption, OutOption, RecipeOption
from hazardline.errors import UserError

app = typer.Typer()
ModelOption = Annotated[str, typer.Option("--model", help="Name of the registered model.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, for the promotion log.")]


@app.callback(invoke_without_command=True)
def register(
    context: typer.Context, out: OutOption = None, recipe: RecipeOption = None, inputs: InputOption = None
) -> None:
    """Record the candidate in the model registry; promote it where the gate is open."""
    if context.invoked_subcommand is None:
        from hazardline.cli.by_hand import run_stage_by_hand

        run_stage_by_hand("register", recipe, inputs or [], out, {})


@app.command("history")
def show_history(model: ModelOption = "crashchat-pocket") -> None:
    """Show the promotion log, oldest entry first."""
    from hazardline.register.promote import history

    for entry in history(model):
        before = "no champion" if entry.from_version is None else f"version {entry.from_version}"
        approved = f" (approved by {entry.approved_by})" if entry.approved_by is not None else ""
        typer.echo(
            f"{entry.sequence:>4}  {entry.when}  {entry.action:<8}  {before} -> version {entry.to_version}  "
            f"{entry.who}: {entry.why}{approved}"
        )


@app.command("promote")
def promote_version(
    why: WhyOption,
    version: Annotated[
        int | None, typer.Argument(help="The version to make champion (with --approve: default the one that waits).")
    ] = None,
    model: ModelOption = "crashchat-pocket",
    is_approval: Annotated[bool, typer.Option("--approve", help="Approve a version that waits for that.")] = False,
    by: Annotated[str | None, typer.Option(help="With --approve: who approves (default: user and host).")] = None,
) -> None:
    """Make a version champion that passed its gate; with --approve one that waits for a person."""
    from hazardline.register.approval import approve
    from hazardline.register.promote import promote

    if by is not None and not is_approval:
        raise UserError("--by says who approves: give --approve as well")
    if version is None and not is_approval:
        raise UserError("give the version to promote, or --approve for the one that waits")
    change = approve(model, version, why, by) if is_approval or version is None else promote(model, version, why)
    typer.echo(f"{change.model_name}: version {change.champion} is champion, previous: {change.previous or 'none'}")


@app.command("rollback")
def roll_back(why: WhyOption, model: ModelOption = "crashchat-pocket") -> None:
    """Make the previous champion the champion again."""
    from hazardline.register.promote import rollback

    change = rollback(model, why)
    typer.echo(f"{change.model_name}: version {change.champion} is champion, previous: {change.previous or 'none'}")
