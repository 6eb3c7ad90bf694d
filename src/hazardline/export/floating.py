"""The float bundle: what the quantised one is made from, and held against. It never leaves."""

from pathlib import Path

from hazardline.device.runtime import Bundle
from hazardline.evaluate.testset import Splits
from hazardline.export.bundle import Graphs, Source, make_graphs, write_manifest, write_parts
from hazardline.export.config import StructuralLimits
from hazardline.export.document import Structural
from hazardline.export.golden import alternating
from hazardline.export.structural import check_structure
from hazardline.progress import Reporter
from hazardline.vlm.model import load_branches


def make_floating(
    folder: Path, source: Source, splits: Splits, limits: StructuralLimits, reporter: Reporter
) -> tuple[Graphs, Structural]:
    """Trace the trained branches into a float bundle, and hold it against PyTorch (structural gate).

    Args:
        folder: empty; receives the bundle.
        source: base and adapters.
        splits: of whose validation clips the gate takes a few.
        limits: of the gate.
        reporter: progress.

    Returns:
        The graphs that the bundle holds, and what the gate found.

    Raises:
        UserError: the layout counts positions otherwise than the model, or the gate is closed.
    """
    model = load_branches(source.base, {str(name): adapter for name, adapter in source.adapters.items()})
    graphs = make_graphs(model, source, reporter)
    write_parts(folder, graphs, source, None)
    write_manifest(folder, source, None, {})
    clips = alternating(splits.validation, splits.suite, limits.num_clips)
    return graphs, check_structure(model, Bundle.open(folder), clips, limits, reporter)
