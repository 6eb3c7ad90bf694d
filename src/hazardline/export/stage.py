"""Export: from the trained branches to a bundle that a vehicle's computer runs, and the proof that it answers alike.

A float bundle is made first and held against PyTorch (structural gate). The quantised bundle, the one that leaves, is
then held against the float model on the whole test set (quality gate). A closed gate is an error: no bundle leaves.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.device.bundle import verify_bundle
from hazardline.device.manifest import BundleManifest, Prompts, Quantisation
from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.evaluate.testset import Splits, read_splits
from hazardline.export.config import ExportConfig
from hazardline.export.document import PARITY_NAME, Parity
from hazardline.export.golden import add_golden_clips
from hazardline.export.quality import FloatSide, allowed_drops, check_quality
from hazardline.files import sha256_tree
from hazardline.mirror.clips import make_present
from hazardline.progress import Reporter
from hazardline.tasks import TRAINED_ON, Branch
from hazardline.train.base import base_digest, base_folder

BUNDLE_FOLDER = "bundle"


def run(config: ExportConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Make and prove a bundle; writes `bundle/` and `parity.json`.

    Args:
        config: quantisation and limits.
        inputs: `ingest`, `synthesize`, `train`, `evaluate`.
        out: empty folder.
        reporter: progress.

    Raises:
        UserError: the inputs do not belong together, or a gate is closed; the message names the numbers.
    """
    import torch

    from hazardline.export.bundle import Source, write_manifest, write_parts
    from hazardline.export.floating import make_floating

    torch.set_num_threads(1)
    splits = read_splits(inputs)
    make_present(((clip.video, clip.sha256) for clip in splits.validation + splits.test), reporter)
    allowed_drops(config, splits)  # a wrong name is told before anything is traced
    source = Source(
        name=config.name,
        base=base_folder(config.base),
        adapters=trained_branches(inputs["train"]),
        data_digest=splits.test_digest(),
        prompts=_prompts(config, splits),
    )
    _check_evaluated(source.base, source.adapters, source.data_digest, inputs["evaluate"])
    quantisation = Quantisation(
        bits=config.decoder_bits,
        block_size=config.block_size,
        accuracy_level=config.accuracy_level,
        embedding_dtype=config.embedding_dtype,
    )
    bundle = out / BUNDLE_FOLDER
    bundle.mkdir()
    with tempfile.TemporaryDirectory(prefix="hazardline-export-") as work:
        floating = Path(work)
        graphs, structural = make_floating(floating, source, splits, config.structural, reporter)
        write_parts(bundle, graphs, source, quantisation)
        del graphs
        write_manifest(bundle, source, quantisation, {})
        add_golden_clips(bundle, splits.validation, splits.suite, config.golden, config.num_workers, reporter)
        quality = check_quality(bundle, floating, splits, FloatSide.read(inputs["evaluate"]), config, reporter)
    parity = Parity(structural=structural, quality=quality)
    parity.write(out / PARITY_NAME)
    manifest = write_manifest(bundle, source, quantisation, parity.numbers())
    return _summary(bundle, manifest, parity, reporter)


def _prompts(config: ExportConfig, splits: Splits) -> Prompts:
    suite = splits.suite
    return Prompts(
        version=splits.prompt_version,
        questions=dict(splits.questions),
        max_new_tokens={task: getattr(config.max_new_tokens, task) for task in suite.tasks},
        schemas={task: dict(schema) for task, schema in suite.schemas.items()},
    )


def trained_branches(folder: Path) -> dict[Branch, Path]:
    """The adapter folders that train wrote; without perception the linguistic branch answers all.

    Raises:
        UserError: there is no linguistic branch.
    """
    found = {branch: folder / branch for branch in TRAINED_ON if (folder / branch).is_dir()}
    if "linguistic" not in found:
        raise UserError(f"{folder}: no folder linguistic/; a bundle needs the linguistic branch; run train with it")
    return found


def _check_evaluated(base: Path, adapters: Mapping[Any, Path], data_digest: str, evaluation: Path) -> None:
    """Refuse an evaluation of another model or another test set: the quality gate would compare apples with pears."""
    identity = Evaluation.read(evaluation / EVALUATION_NAME).identity
    digests = {str(branch): sha256_tree(folder) for branch, folder in adapters.items()}
    found = {"base": identity.base_digest, "adapters": identity.adapters_digest, "test set": identity.test_data_digest}
    wanted = {"base": base_digest(base), "adapters": digests, "test set": data_digest}
    odd = [name for name, digest in wanted.items() if found[name] != digest]
    if odd:
        raise UserError(
            f"{evaluation / EVALUATION_NAME}: measured another {' and '.join(odd)} than is exported; run evaluate "
            "again on this training, and give export and train the same base"
        )


def _summary(bundle: Path, manifest: BundleManifest, parity: Parity, reporter: Reporter) -> dict[str, Any]:
    info = verify_bundle(bundle)
    quality = parity.quality
    reporter.note(
        f"bundle {manifest.name} {manifest.version}: {info.size_bytes / 1e6:.1f} MB, divergence "
        f"{quality.mean_kl:.4f} nats, top-1 agreement {quality.top1_agreement:.3f}"
    )
    return {
        "bundle": {
            "folder": BUNDLE_FOLDER,
            "name": manifest.name,
            "version": manifest.version,
            "digest": info.manifest_sha256,
            "size_bytes": info.size_bytes,
            "files": len(info.files) + 1,
        },
        "parity": parity.data(),
    }
