"""`hazardline review`: a sample out to Label Studio, decisions back in, corrections applied."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hazardline.cli.options import InputOption
from hazardline.errors import UserError

app = typer.Typer(
    help="People look at a sample of the data set: out to Label Studio, decisions back, corrections.",
    no_args_is_help=True,
)
ProjectArgument = Annotated[Path, typer.Argument(help="Folder that review sample wrote.")]
UrlOption = Annotated[str, typer.Option("--url", help="Address of the Label Studio server.")]
TitleOption = Annotated[str, typer.Option("--project", help="Title of the project there.")]
NewFolderOption = Annotated[Path, typer.Option("--out", help="Folder to write: a new one or an empty one.")]


@app.command("sample")
def sample(
    out: NewFolderOption,
    inputs: InputOption = None,
    size: Annotated[int, typer.Option(min=1, help="Clips to draw.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed draws the same clips.")] = 0,
    copy_media: Annotated[bool, typer.Option("--copy-media", help="Copy the clips into the project.")] = False,
    link_media: Annotated[bool, typer.Option("--link-media", help="Link the clips from the project.")] = False,
    url_prefix: Annotated[
        str | None, typer.Option(help="Address that serves the clips; else Label Studio's local storage does.")
    ] = None,
    document_root: Annotated[
        Path | None,
        typer.Option(help="Folder that is served; by default the project (copied or linked clips), else /."),
    ] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Do not show the annotation's marks and choices.")] = False,
) -> None:
    """Draw clips of every label, task and source and write them as a Label Studio project in files."""
    from hazardline.review.media import MediaPlan
    from hazardline.review.project import write_project

    if copy_media and link_media:
        raise UserError("--copy-media and --link-media exclude each other; give one of them")
    take: Any = "copy" if copy_media else "link" if link_media else "leave"
    plan = MediaPlan(take, url_prefix, document_root)
    folders = _folders(inputs, ("ingest", "split", "synthesize"))
    typer.echo(_json(write_project(folders, out, size, seed, plan, is_prefilled=not blind)))


@app.command("push")
def push_project(
    project: ProjectArgument,
    url: UrlOption,
    title: TitleOption,
    num_reviewers: Annotated[int, typer.Option(min=1, help="Reviewers a clip; of a new project.")] = 1,
) -> None:
    """Put the tasks into a project of a Label Studio server; those that are there already stay."""
    from hazardline.review.label_studio import connected, push

    with connected(url) as client:
        pushed = push(project, client, url, title, num_reviewers)
    typer.echo(f"project {pushed.project_id}: {pushed.num_created} tasks new, {pushed.num_present} were there")


@app.command("pull")
def pull_export(
    url: UrlOption,
    title: TitleOption,
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
) -> None:
    """Fetch what reviewers have submitted as an export in Label Studio's JSON."""
    from hazardline.review.label_studio import connected, pull

    with connected(url) as client:
        size = pull(client, url, title, out)
    typer.echo(f"wrote {out}: {size} bytes")


@app.command("import")
def import_exports(
    project: ProjectArgument,
    exports: Annotated[list[Path], typer.Option("--export", help="Label Studio's JSON or JSON-MIN. Repeatable.")],
    out: NewFolderOption,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Keep reviewers' names; else hashed.")] = False,
    num_resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
) -> None:
    """Read exports into tables of decisions and marks, with agreement, acceptance and a report."""
    from hazardline.review.project import read_project
    from hazardline.review.results import write_results

    review = write_results(read_project(project), exports, out, keep_names, num_resamples, seed)
    typer.echo(
        _json(
            {
                "num_clips_reviewed": review.num_clips_reviewed,
                "num_annotations": review.num_annotations,
                "num_annotations_used": review.num_annotations_used,
                "num_decisions": review.num_decisions,
                "problems": review.problems,
                "acceptance": {row.task: row.rate for row in review.acceptance},
            }
        )
    )


@app.command("apply")
def apply_review(
    project: ProjectArgument,
    decisions: Annotated[Path, typer.Option(help="Folder that review import wrote.")],
    out: NewFolderOption,
    inputs: InputOption = None,
    adjudicator: Annotated[str | None, typer.Option(help="Reviewer whose decision ends a disagreement.")] = None,
    min_reviewers: Annotated[int, typer.Option(min=1, help="Fewer reviewers change nothing.")] = 1,
    tolerance_s: Annotated[float, typer.Option(min=0.0, help="Marks this near to each other say the same.")] = 0.5,
    no_crash_label: Annotated[
        str | None, typer.Option(help="near_miss or normal: what a crash becomes that is none; else it stays open.")
    ] = None,
) -> None:
    """Write ingest's folder anew with the corrections that reviewers agree on; the rest is listed."""
    from hazardline.review.apply import decide, write_corrected
    from hazardline.review.project import read_project
    from hazardline.review.tables import DECISIONS
    from hazardline.review.verdict import Rules
    from hazardline.tables import read_table

    if no_crash_label not in (None, "near_miss", "normal"):
        raise UserError(f"--no-crash-label {no_crash_label}: expected near_miss or normal")
    sampled = read_project(project)
    label: Any = no_crash_label
    decided = decide(sampled, read_table(DECISIONS, decisions), Rules(adjudicator, min_reviewers, tolerance_s), label)
    applied = write_corrected(_folders(inputs, ("ingest",))["ingest"], sampled, decided, out)
    typer.echo(
        _json(
            {
                "num_corrections": applied.num_corrections,
                "num_applied": applied.num_applied,
                "num_of_answers": applied.num_of_answers,
                "num_problems": len(applied.problems),
                "num_unresolved": len(applied.unresolved),
                "dataset_digest": applied.dataset_digest,
            }
        )
    )


def _folders(texts: list[str] | None, needed: tuple[str, ...]) -> dict[str, Path]:
    """Input folders from texts of the form `STAGE=DIR`; all that are needed and no other."""
    found: dict[str, Path] = {}
    for text in texts or []:
        name, equals, folder = text.partition("=")
        if not equals or name not in needed:
            raise UserError(f"--input {text}: expected STAGE=DIR with STAGE one of {', '.join(needed)}")
        if not Path(folder).is_dir():
            raise UserError(f"--input {text}: {folder} is no folder; expected the output folder of {name}")
        found[name] = Path(folder).absolute()
    missing = [name for name in needed if name not in found]
    if missing:
        raise UserError(f"give {' '.join(f'--input {name}=DIR' for name in missing)} (what those stages wrote)")
    return found


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
