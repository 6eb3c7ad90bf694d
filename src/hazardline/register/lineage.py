"""What a model version was made from, as digests, after checking that the stages' outputs belong together."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation, Identity
from hazardline.files import digest_json, sha256_bytes, sha256_file, sha256_tree
from hazardline.gate.document import DECISION_NAME, Decision
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.register.config import RegisterConfig
from hazardline.register.promote import DECISION_TAG, GATE_TAG, SEEN_TAG, seen_text
from hazardline.tables import ASSIGNMENT, QA, SCENES
from hazardline.train.base import base_digest, base_folder

KEY_TAG = "hazardline.key"
DATASET_TAG = "hazardline.dataset_digest"
_TABLES = (("ingest", SCENES), ("split", ASSIGNMENT), ("synthesize", QA))


class Lineage(Document):
    """Everything that tells one candidate from another. Digests are hex SHA-256."""

    identity: Identity
    data_digest: str
    """Over the scenes, assignment and QA tables."""
    dataset_digest: str | None = Field(default=None, exclude_if=lambda digest: digest is None)
    """`content_digest` of the data set version that it was trained on; absent in lineages from before there was one."""
    recipe_digest: str | None
    """Of the recipe's text, where the line handed it over."""
    evaluation_digest: str
    policy_name: str
    policy_digest: str
    is_gate_open: bool

    def key(self) -> str:
        """What makes a model version: the same key twice is the same version, found again."""
        return self.digest()

    def tags(self) -> dict[str, str]:
        """The lineage as tags of the model version."""
        identity = self.identity
        tags = {
            KEY_TAG: self.key(),
            "hazardline.data_digest": self.data_digest,
            "hazardline.base_digest": identity.base_digest,
            "hazardline.layout_digest": identity.layout_digest,
            "hazardline.test_data_digest": identity.test_data_digest,
            "hazardline.prompt_version": identity.prompt_version,
            "hazardline.code_commit": identity.code_commit,
            "hazardline.evaluation_digest": self.evaluation_digest,
            "hazardline.policy": self.policy_name,
            "hazardline.policy_digest": self.policy_digest,
        }
        tags |= {f"hazardline.adapter.{name}": digest for name, digest in identity.adapters_digest.items()}
        if self.dataset_digest is not None:
            tags[DATASET_TAG] = self.dataset_digest
        if self.recipe_digest is not None:
            tags["hazardline.recipe_digest"] = self.recipe_digest
        return tags


def decision_tags(decision: Decision) -> dict[str, str]:
    """What the gate said, as tags: these are renewed where the same candidate is judged again."""
    return {
        GATE_TAG: "open" if decision.passed else "closed",
        DECISION_TAG: decision.digest(),
        SEEN_TAG: seen_text(decision.champion_version),
    }


def read_lineage(config: RegisterConfig, inputs: Mapping[str, Path]) -> tuple[Lineage, Decision]:
    """Digest the inputs, and see that evaluation and decision are about these adapters on this base.

    Raises:
        UserError: an input is missing, or was made from something else than the others.
    """
    evaluation = Evaluation.read(inputs["evaluate"] / EVALUATION_NAME)
    decision = Decision.read(inputs["gate"] / DECISION_NAME)
    _check(config, inputs, evaluation, decision)
    tables = {table.file_name: _file_digest(inputs[stage] / table.file_name) for stage, table in _TABLES}
    lineage = Lineage(
        identity=evaluation.identity,
        data_digest=digest_json(tables),
        dataset_digest=_dataset_digest(inputs["ingest"] / REPORT_NAME),
        recipe_digest=sha256_bytes(config.recipe.encode()) if config.recipe else None,
        evaluation_digest=evaluation.digest(),
        policy_name=decision.policy_name,
        policy_digest=decision.policy_digest,
        is_gate_open=decision.passed,
    )
    return lineage, decision


def _check(config: RegisterConfig, inputs: Mapping[str, Path], evaluation: Evaluation, decision: Decision) -> None:
    again = "run the line again from the stage that is behind"
    if decision.evaluation_digest != evaluation.digest():
        raise UserError(
            f"{inputs['gate'] / DECISION_NAME}: decides about another evaluation than the one given; {again}"
        )
    for branch in evaluation.identity.adapters_digest:
        folder = inputs["train"] / branch
        if not folder.is_dir():
            raise UserError(
                f"{folder}: missing; expected the adapter of the {branch} branch as the train stage leaves it"
            )
        if sha256_tree(folder) != evaluation.identity.adapters_digest[branch]:
            raise UserError(f"{folder}: not the adapter that was evaluated; {again}")
    if base_digest(base_folder(config.base)) != evaluation.identity.base_digest:
        raise UserError(
            f"register.base: {config.base!r} is not the base that was evaluated; give the same base as in evaluate.base"
        )


def _dataset_digest(report: Path) -> str | None:
    return IngestReport.read(report).dataset_digest if report.is_file() else None


def _file_digest(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path}: missing; run the stage that makes it")
    return sha256_file(path)
