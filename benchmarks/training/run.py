"""Settings of an end-to-end run that both sides share, and the figures that come out of one."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One training run over clips with their questions.

    Attributes:
        checkpoint: folder with `base` and `adapter`.
        num_tokens: vision tokens of a clip.
        num_frames: seen frames of a clip, which give these tokens.
        num_questions: questions of a clip; those of one clip are one optimizer step.
        num_clips: different clips.
        num_epochs: passes over them.
        learning_rate: constant, of AdamW without weight decay.
        max_gradient_norm: longer gradients are scaled down.
    """

    checkpoint: Path
    num_tokens: int
    num_frames: int
    num_questions: int
    num_clips: int
    num_epochs: int
    learning_rate: float = 1e-3
    max_gradient_norm: float = 1.0

    @property
    def num_answers(self) -> int:
        """Questions answered over the whole run."""
        return self.num_clips * self.num_questions * self.num_epochs

    @property
    def name(self) -> str:
        """For folders."""
        return f"k{self.num_questions}_p{self.num_tokens}"
