"""How a clip or an image is laid out for the model: which frames, which pixels, which tokens around them.

One document beside every checkpoint (`layout.json`). The published VideoLLaMA3 layout (a `Time 1.9s:` before every
frame, RGB, its own processor), Qwen2-VL's for images, and the pocket layouts differ only here. An image is a clip of
one frame. No torch: a vehicle's computer reads it too.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hazardline.documents import Document

LAYOUT_NAME = "layout.json"


def _unless(default: Any) -> Any:
    """A field that is written only where it says something: layouts of clips keep the digests that they had."""
    return Field(exclude_if=lambda value: value == default)


class Layout(Document):
    """Frames, pixels and tokens of one clip."""

    version: Literal["layout@1"] = "layout@1"
    motion_rate_hz: Annotated[float, Field(gt=0)] = 10.0
    """Rate at which a clip is decoded; the motion channels are differences between these frames."""
    rate_hz: Annotated[float, Field(gt=0)] = 5.0
    """Rate of the frames that the model sees. Must divide `motion_rate_hz`."""
    max_frames: Annotated[int, Field(gt=0)] = 50
    """Longer clips are sampled evenly over their whole length, with their own times (CrashChat's rule)."""
    width_px: int = 144
    height_px: int = 96
    patch_px: int = 12
    merge: int = 4
    """Patches merged into a token along each side (VideoLLaMA3's `merge_size`, Qwen2-VL's `spatial_merge_size`)."""
    merged_by: Annotated[Literal["encoder", "projector"], _unless("encoder")] = "encoder"
    """What merges them: VideoLLaMA3's frozen encoder, or Qwen2-VL's projector, whose features are those of patches."""
    temporal_patch: Annotated[int, Field(ge=1), _unless(1)] = 1
    """Frames that a patch holds (Qwen2-VL's `temporal_patch_size`); an image is repeated so often."""
    positions: Annotated[Literal["counted", "mrope"], _unless("counted")] = "counted"
    """Position ids of tokens: one by one, or Qwen2-VL's in time, height and width (arXiv 2409.12191, section 2.1)."""
    pixel_mean: Annotated[tuple[float, float, float], _unless((0.5, 0.5, 0.5))] = (0.5, 0.5, 0.5)
    pixel_std: Annotated[tuple[float, float, float], _unless((0.5, 0.5, 0.5))] = (0.5, 0.5, 0.5)
    """RGB in 0..1 is shifted and scaled by these; the defaults are VideoLLaMA3's, Qwen2-VL has CLIP's."""
    channels: Literal["rgb", "rgb_motion"] = "rgb_motion"
    """`rgb_motion` adds brightness differences to 0.1 s and 0.3 s earlier: the encoder sees one frame only."""
    time_position: Literal["before", "after"] = "after"
    """Time of a frame before its tokens (published) or after them (an answer can point at a seen frame)."""
    time_format: str = " {time:.1f}"
    """The tag at a frame; of an image, the token that ends it (`<|vision_end|>`)."""
    frame_separator: str = ""
    prompt_start: str = "<|im_start|>user\n"
    question_format: str = "\n{question}<|im_end|>\n<|im_start|>assistant\n"
    answer_format: str = " {answer}"
    end_token: str = "<|im_end|>"
    video_token: str = "<|video_pad|>"
    """Placeholder of a vision token; `<|image_pad|>` in a layout for images."""
    answer_time_step_s: float | None = 0.2
    """Times in training answers are rounded to this grid (the pocket's frame grid: tokens it has seen)."""

    @model_validator(mode="after")
    def _fits(self) -> "Layout":
        side = self.patch_px * self.merge
        if self.width_px % side or self.height_px % side:
            raise ValueError(f"width_px and height_px must be multiples of patch_px x merge = {side}")
        if self.motion_rate_hz % self.rate_hz:
            raise ValueError("rate_hz must divide motion_rate_hz")
        if self.temporal_patch > 1 and (self.max_frames > 1 or self.channels != "rgb"):
            raise ValueError("temporal_patch above 1 is for images: it needs max_frames 1 and channels rgb")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in a frame."""
        return self.height_px // self.patch_px, self.width_px // self.patch_px

    @property
    def tokens_per_frame(self) -> int:
        """Vision tokens of one frame after merging."""
        rows, columns = self.grid
        return rows * columns // self.merge**2

    @property
    def features_per_frame(self) -> int:
        """Feature vectors of one frame as the frozen encoder gives them."""
        rows, columns = self.grid
        return self.tokens_per_frame if self.merged_by == "encoder" else rows * columns

    @property
    def media(self) -> Literal["image", "video"]:
        """What a model of this layout is shown."""
        return "image" if self.max_frames == 1 else "video"

    def grids(self, num_frames: int) -> tuple[tuple[int, int, int], ...]:
        """Temporal, vertical and horizontal patches of the one image or video of a prompt."""
        return ((num_frames, *self.grid),)

    @property
    def answer_prefix(self) -> str:
        """What stands before every answer: generated with it, and stripped from its text."""
        return self.answer_format.partition("{answer}")[0]

    @property
    def num_channels(self) -> int:
        """Input channels of a patch."""
        return 5 if self.channels == "rgb_motion" else 3

    @property
    def patch_size(self) -> int:
        """Values of one patch."""
        return self.num_channels * self.temporal_patch * self.patch_px**2

    def sample(self, num_decoded: int, phase: int = 0) -> list[int]:
        """Indices, among frames decoded at `motion_rate_hz`, of the frames that the model sees.

        Args:
            num_decoded: frames decoded.
            phase: index of the first frame; below motion_rate_hz / rate_hz (an augmentation of training).
        """
        step = round(self.motion_rate_hz / self.rate_hz)
        indices = list(range(phase, num_decoded, step)) or [0]
        if len(indices) <= self.max_frames:
            return indices
        last = len(indices) - 1
        return [indices[round(k * last / (self.max_frames - 1))] for k in range(self.max_frames)]

    def times_s(self, indices: list[int]) -> list[float]:
        """Seconds of decoded frames from the first sampled one."""
        return [(index - indices[0]) / self.motion_rate_hz for index in indices]
