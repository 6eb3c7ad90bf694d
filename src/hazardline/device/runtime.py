"""A bundle, opened: from a clip or an image to the answers of its tasks, with ONNX Runtime alone.

What is asked, and in which order, says the suite of the bundle's prompt version. Of CrashChat the linguistic branch
answers recognition and the text tasks; only where it says Yes the perception branch answers the two localization tasks.
Answers of a task with a schema are decoded under it. This module imports neither torch nor transformers, and a test
holds that.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hazardline import video
from hazardline.constrained import Constraint, Grammars
from hazardline.device import manifest as names
from hazardline.device.answer import Generated, generate, prefill
from hazardline.device.bundle import MANIFEST_NAME
from hazardline.device.decoder import CPU, Cache, Decoder, Floats, nodes_by_provider, open_session, read_adapter
from hazardline.device.manifest import BundleManifest, Prompts
from hazardline.errors import UserError
from hazardline.suites import ALL_PROMPTS, Suite, suite_of
from hazardline.tasks import Branch, Task
from hazardline.vlm.pixels import Patches, read_patches
from hazardline.vlm.places import position_axes, prefix_positions
from hazardline.vlm.text import TOKENIZER_NAME, Prompter

FRAMES_PER_RUN = 16
"""Frames that the vision encoder takes at once: bounds its memory."""


@dataclass
class Timings:
    """Seconds of each phase of one clip; two passes add up."""

    decode_s: float = 0.0
    """Video to patches."""
    encode_s: float = 0.0
    """Vision encoder."""
    prefill_s: float = 0.0
    """Projector, and the prefix through the decoder."""
    generate_s: float = 0.0
    """Questions and answer tokens."""
    total_s: float = 0.0


@dataclass(frozen=True)
class ClipAnswers:
    """What a bundle says of a clip."""

    answers: dict[Task, str]
    """Tasks that were asked; those of the second pass only where the key task's answer was Yes."""
    crash_log_odds: float | None
    """Logit of Yes minus logit of No at the first token of CrashChat's recognition; None if that was not asked."""
    sureness: float | None
    """How far the key task's answer is from another one, as a difference of logits: the size of `crash_log_odds`, or
    under a schema the smallest lead of a token over the next that was allowed. None if it was not asked."""
    timings: Timings
    num_frames: int
    num_prefix_tokens: int
    num_answer_tokens: int
    """Generated tokens of all answers."""


@dataclass(frozen=True)
class SeenClip:
    """A clip behind the vision encoder."""

    times_s: list[float]
    features: Floats
    """(frames, features of a frame, vision hidden size)."""


@dataclass(frozen=True)
class Pass:
    """A clip in one branch: the cache of its prefix, from which every question goes on."""

    branch: Branch
    prefix: Cache


@dataclass(frozen=True)
class _Sessions:
    vision: Any
    projectors: dict[Branch, Any]
    decoder: Decoder
    embeddings: npt.NDArray[Any]
    grammars: Grammars | None
    """None where no answer has a schema."""


@dataclass
class Bundle:
    """An opened bundle."""

    folder: Path
    manifest: BundleManifest
    prompts: Prompts
    prompter: Prompter
    provider: str
    _sessions: _Sessions = field(repr=False)

    @classmethod
    def open(cls, folder: Path, provider: str = CPU, num_threads: int = 1) -> Self:
        """Open a bundle: read its documents, start its sessions.

        Whether the files are the released ones is not looked at here (`hazardline.device.bundle.verify_bundle`).
        This process decodes video with PyAV from now on.

        Args:
            folder: holds `manifest.json`.
            provider: of ONNX Runtime.
            num_threads: within an operator.

        Raises:
            UserError: a file is missing or not what it should be, files do not fit each other, or the provider does
                not start.
        """
        video.use_pyav("a bundle runs without torch, and torchcodec needs it")
        manifest = BundleManifest.read(folder / MANIFEST_NAME)
        missing = [entry.path for entry in manifest.files if not (folder / entry.path).is_file()]
        if missing:
            raise UserError(f"{folder / missing[0]}: missing, but listed in the manifest; fetch the bundle again")
        prompter = Prompter.load(folder)
        if prompter.layout.digest() != manifest.layout_digest:
            raise UserError(f"{folder}: layout.json is not the one of the manifest; fetch the bundle again")
        prompts = Prompts.read(folder / names.PROMPTS_NAME)
        if prompts.version != manifest.prompt_version:
            raise UserError(f"{folder}: prompts.json is not the one of the manifest; fetch the bundle again")
        if prompts.version not in ALL_PROMPTS:
            raise UserError(
                f"{folder}: prompt version {prompts.version!r} is newer than this program, which knows "
                f"{', '.join(ALL_PROMPTS)}; update the program first"
            )

        def session(name: str) -> Any:
            return open_session(folder / name, provider, num_threads)

        decoder = Decoder(
            session(names.DECODER_NAME),
            {branch: read_adapter(folder / names.adapter_name(branch)) for branch in manifest.branches},
        )
        if decoder.position_axes != position_axes(prompter.layout):
            raise UserError(f"{folder}: layout.json and decoder.onnx count positions differently; export it again")
        sessions = _Sessions(
            vision=session(names.VISION_NAME),
            projectors={branch: session(names.projector_name(branch)) for branch in manifest.branches},
            decoder=decoder,
            embeddings=_read_embeddings(folder / names.EMBEDDINGS_NAME, decoder.hidden_size),
            grammars=(
                Grammars(folder / TOKENIZER_NAME, decoder.vocab_size, prompter.end_id) if prompts.schemas else None
            ),
        )
        return cls(folder, manifest, prompts, prompter, provider, sessions)

    @property
    def decoder(self) -> Decoder:
        """The language model."""
        return self._sessions.decoder

    @property
    def suite(self) -> Suite:
        """Which tasks there are, and how their answers hang together."""
        return suite_of(self.prompts.version)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks whose question the bundle holds, in the order in which they are asked."""
        return tuple(task for task in self.suite.tasks if task in self.prompts.questions)

    def nodes_by_provider(self) -> dict[str, int]:
        """Graph nodes of vision encoder and decoder by the provider that runs them."""
        counts: dict[str, int] = {}
        for session in (self._sessions.vision, self._sessions.decoder.session):
            for name, count in nodes_by_provider(session).items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def encode(self, patches: Patches) -> Floats:
        """Vision encoder: (frames, patches, patch size) -> (frames, features of a frame, vision hidden size)."""
        parts = [
            self._sessions.vision.run(["features"], {"patches": patches[start : start + FRAMES_PER_RUN]})[0]
            for start in range(0, len(patches), FRAMES_PER_RUN)
        ]
        return np.concatenate(parts)

    def project(self, branch: Branch, features: Floats) -> Floats:
        """Projector of a branch: (frames, features of a frame, vision hidden size) -> (..., hidden size)."""
        projected: Floats = self._sessions.projectors[branch].run(["embeddings"], {"features": features})[0]
        return projected

    def embed(self, ids: Sequence[int]) -> Floats:
        """Token embeddings in fp32: (tokens, hidden size)."""
        rows: Floats = self._sessions.embeddings[np.asarray(ids)].astype(np.float32)
        return rows

    def see(self, clip: Path, timings: Timings | None = None) -> SeenClip:
        """Decode and encode a clip.

        Raises:
            hazardline.video.VideoError: the file cannot be decoded.
        """
        timings = timings or Timings()
        begin = time.perf_counter()
        patches, times_s = read_patches(clip, self.prompter.layout)
        decoded = time.perf_counter()
        features = self.encode(patches)
        timings.decode_s += decoded - begin
        timings.encode_s += time.perf_counter() - decoded
        return SeenClip(times_s, features)

    def read(self, branch: Branch, seen: SeenClip) -> Pass:
        """Run the prefix of a clip through a branch."""
        ids = np.asarray(self.prompter.prefix(seen.times_s))
        embeddings = self.embed(ids.tolist())
        embeddings[ids == self.prompter.video_id] = self.project(branch, seen.features).reshape(
            -1, self.decoder.hidden_size
        )
        positions = prefix_positions(ids.tolist(), self.prompter.video_id, self.prompter.layout)
        return Pass(branch, prefill(self.decoder, branch, embeddings, positions))

    def branch_for(self, task: Task) -> Branch:
        """The branch that answers a task: the linguistic one where the bundle holds no other."""
        branch = self.suite.answered_by[task]
        return branch if branch in self.manifest.branches else "linguistic"

    def constraints(self, tasks: Sequence[Task]) -> list[Constraint | None]:
        """What an answer to each task is decoded under, fresh; None for nothing."""
        grammars, schemas = self._sessions.grammars, self.prompts.schemas
        prefix = self.prompter.layout.answer_prefix
        return [
            grammars.constraint(schemas[task], prefix) if grammars is not None and task in schemas else None
            for task in tasks
        ]

    def ask(
        self, clip: Pass, tasks: Sequence[Task], questions: Mapping[Task, str] | None = None
    ) -> dict[Task, Generated]:
        """Ask a branch that has read a clip.

        Args:
            clip: what the branch has read.
            tasks: what to ask.
            questions: texts of tasks whose question differs from clip to clip, or to ask otherwise than the bundle.
        """
        texts = {**self.prompts.questions, **(questions or {})}
        found = generate(
            self.decoder,
            clip.branch,
            clip.prefix,
            self.embed,
            [self.prompter.question(texts[task]) for task in tasks],
            [self.prompts.max_new_tokens[task] for task in tasks],
            self.prompter.end_id,
            self.constraints(tasks),
        )
        return dict(zip(tasks, found, strict=True))

    def answer(self, clip: Path, tasks: Sequence[Task] | None = None) -> ClipAnswers:
        """Answer tasks about a clip, in two passes where the suite has two.

        Args:
            clip: video or image file.
            tasks: of those that the bundle holds a question for; all of them by default. Those of the second pass are
                asked only where the key task, which is asked with them, says Yes.

        Raises:
            hazardline.video.VideoError: the file cannot be decoded.
        """
        begin = time.perf_counter()
        timings = Timings()
        return self.answer_seen(self.see(clip, timings), tasks, timings, begin)

    def answer_seen(
        self,
        seen: SeenClip,
        tasks: Sequence[Task] | None = None,
        timings: Timings | None = None,
        begin: float | None = None,
    ) -> ClipAnswers:
        """Answer tasks about an encoded clip (see `answer`)."""
        timings = timings or Timings()
        begin = time.perf_counter() if begin is None else begin
        suite = self.suite
        wanted = self.tasks if tasks is None else tasks
        second = [task for task in wanted if task in suite.second_pass]
        first = [task for task in wanted if task not in second]
        if second and suite.key_task not in first:
            first.insert(0, suite.key_task)
        found, length = self._timed_pass("linguistic", seen, first, timings)
        answers = {task: self.prompter.decode(generated.ids) for task, generated in found.items()}
        if second and suite.says_yes(answers[suite.key_task]):
            more, _ = self._timed_pass(self.branch_for(second[0]), seen, second, timings)
            found |= more
            answers |= {task: self.prompter.decode(generated.ids) for task, generated in more.items()}
        timings.total_s = time.perf_counter() - begin
        log_odds = self.crash_log_odds(found)
        key = found.get(suite.key_task)
        return ClipAnswers(
            answers={task: answers[task] for task in suite.tasks if task in answers},
            crash_log_odds=log_odds,
            sureness=abs(log_odds) if log_odds is not None else key.margin if key is not None else None,
            timings=timings,
            num_frames=len(seen.times_s),
            num_prefix_tokens=length,
            num_answer_tokens=sum(len(generated.ids) for generated in found.values()),
        )

    def crash_log_odds(self, found: Mapping[Task, Generated]) -> float | None:
        """Logit of Yes minus logit of No where CrashChat's recognition was asked."""
        if "crash_recognition" not in found:
            return None
        logits = found["crash_recognition"].first_logits
        return float(logits[self.prompter.yes_id] - logits[self.prompter.no_id])

    def _timed_pass(
        self, branch: Branch, seen: SeenClip, tasks: Sequence[Task], timings: Timings
    ) -> tuple[dict[Task, Generated], int]:
        begin = time.perf_counter()
        clip = self.read(branch, seen)
        read = time.perf_counter()
        found = self.ask(clip, tasks)
        timings.prefill_s += read - begin
        timings.generate_s += time.perf_counter() - read
        return found, clip.prefix.length


def _read_embeddings(path: Path, hidden_size: int) -> npt.NDArray[Any]:
    try:
        table: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as an array ({error}); fetch the bundle again") from None
    if table.ndim != 2 or table.shape[1] != hidden_size or table.dtype not in (np.float16, np.float32):
        raise UserError(
            f"{path}: holds {table.dtype} {table.shape}, expected (vocabulary, {hidden_size}) in float16 or float32; "
            "fetch the bundle again"
        )
    return table
