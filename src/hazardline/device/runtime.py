"""A bundle, opened: from a clip to the answers of the six tasks, in two passes, with ONNX Runtime alone.

The linguistic branch answers recognition and the text tasks; only where it says Yes the perception branch answers the
two localization tasks. This module imports neither torch nor transformers, and a test holds that.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hazardline import video
from hazardline.device import manifest as names
from hazardline.device.answer import Generated, generate, prefill
from hazardline.device.bundle import MANIFEST_NAME
from hazardline.device.decoder import CPU, Cache, Decoder, Floats, nodes_by_provider, open_session, read_adapter
from hazardline.device.manifest import BundleManifest, Prompts
from hazardline.errors import UserError
from hazardline.tasks import ANSWERED_BY, LOCALIZATION_TASKS, TASKS, Branch, Task, parse_recognition
from hazardline.vlm.pixels import Patches, read_patches
from hazardline.vlm.places import position_axes, prefix_positions
from hazardline.vlm.text import Prompter

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
    """Tasks that were asked; the localization tasks only where recognition said Yes."""
    crash_log_odds: float | None
    """Logit of Yes minus logit of No at the first token of the recognition answer; None if that was not asked."""
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
        )
        return cls(folder, manifest, Prompts.read(folder / names.PROMPTS_NAME), prompter, provider, sessions)

    @property
    def decoder(self) -> Decoder:
        """The language model."""
        return self._sessions.decoder

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
        branch = ANSWERED_BY[task]
        return branch if branch in self.manifest.branches else "linguistic"

    def ask(self, clip: Pass, tasks: Sequence[Task]) -> dict[Task, Generated]:
        """Ask a branch that has read a clip."""
        found = generate(
            self.decoder,
            clip.branch,
            clip.prefix,
            self.embed,
            [self.prompter.question(self.prompts.questions[task]) for task in tasks],
            [self.prompts.max_new_tokens[task] for task in tasks],
            self.prompter.end_id,
        )
        return dict(zip(tasks, found, strict=True))

    def answer(self, clip: Path, tasks: Sequence[Task] = TASKS) -> ClipAnswers:
        """Answer tasks about a clip in two passes.

        Args:
            clip: video file.
            tasks: localization tasks are asked only where recognition, which is asked with them, says Yes.

        Raises:
            hazardline.video.VideoError: the file cannot be decoded.
        """
        begin = time.perf_counter()
        timings = Timings()
        return self.answer_seen(self.see(clip, timings), tasks, timings, begin)

    def answer_seen(
        self, seen: SeenClip, tasks: Sequence[Task] = TASKS, timings: Timings | None = None, begin: float | None = None
    ) -> ClipAnswers:
        """Answer tasks about an encoded clip (see `answer`)."""
        timings = timings or Timings()
        begin = time.perf_counter() if begin is None else begin
        second = [task for task in tasks if task in LOCALIZATION_TASKS]
        first = [task for task in tasks if task not in second]
        if second and "crash_recognition" not in first:
            first.insert(0, "crash_recognition")
        found, length = self._timed_pass("linguistic", seen, first, timings)
        answers = {task: self.prompter.decode(generated.ids) for task, generated in found.items()}
        if second and parse_recognition(answers["crash_recognition"]):
            more, _ = self._timed_pass(self.branch_for(second[0]), seen, second, timings)
            found |= more
            answers |= {task: self.prompter.decode(generated.ids) for task, generated in more.items()}
        timings.total_s = time.perf_counter() - begin
        return ClipAnswers(
            answers={task: answers[task] for task in TASKS if task in answers},
            crash_log_odds=self._log_odds(found.get("crash_recognition")),
            timings=timings,
            num_frames=len(seen.times_s),
            num_prefix_tokens=length,
            num_answer_tokens=sum(len(generated.ids) for generated in found.values()),
        )

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

    def _log_odds(self, recognition: Generated | None) -> float | None:
        if recognition is None:
            return None
        logits = recognition.first_logits
        return float(logits[self.prompter.yes_id] - logits[self.prompter.no_id])


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
