"""Settings of the pocket base's pre-training: the recipe of the shipped checkpoint (`make pocket-base`)."""

from pydantic import Field

from hazardline.documents import Document
from hazardline.pocket.architecture import PocketSize
from hazardline.vlm.layout import Layout


class CorpusSettings(Document):
    """Simulated clips without a crash: near-miss twins and normal drives, of seeds that no recipe uses."""

    num_near_misses: int = 900
    num_normal: int = 600
    num_validation: int = 60
    seed: int = 910_000


class VisionSettings(Document):
    """Dense perception targets for the vision encoder."""

    num_steps: int = 1500
    frames_per_step: int = 128
    """Over both processes."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    decorrelation: float = 0.5
    """Weight of the variance and covariance penalty that keeps the merged tokens white (VICReg, arXiv 2105.04906)."""


class LanguageSettings(Document):
    """Questions about drives, and handbook English, for projector and language model."""

    num_steps: int = 5_500
    """Each step takes one clip in each of the two processes."""
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    questions_per_clip: int = 16
    captions_per_clip: int = Field(default=4, ge=1)
    """Of the questions: those that are answered with a sentence, the whole drive's among them."""
    caption_weight: float = 2.0
    """Weight of a sentence in the loss, where any other answer has 1: few of its words say what happens."""
    handbook_share: float = 0.25
    """Share of steps with a row of handbook sentences beside the clip."""
    spelled_share: float = 0.4
    """In half of the handbook rows: share of the words that are written in pieces of one to three letters."""
    spelled_caption_share: float = 0.08
    """The same for sentences about a clip."""
    projector_noise: float = 0.1
    sigma_steps: float = 0.8
    auxiliary_layer: int = 2
    vocab_size: int = 1280


class PocketSettings(Document):
    """All of it. The seed fixes data, weights and order; the result also depends on the processor's arithmetic."""

    seed: int = 0
    num_processes: int = 2
    size: PocketSize = PocketSize()
    layout: Layout = Layout()
    corpus: CorpusSettings = CorpusSettings()
    vision: VisionSettings = VisionSettings()
    language: LanguageSettings = LanguageSettings()


class ImageCorpusSettings(Document):
    """Simulated images of near misses and normal driving, of seeds that no recipe uses."""

    num_near_misses: int = 1100
    num_normal: int = 700
    images_per_scene: int = 6
    seed: int = 920_000


class ImageVisionSettings(Document):
    """Dense perception targets for the image encoder."""

    num_steps: int = 1000
    images_per_step: int = 96
    """Over both processes."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02


class ImageLanguageSettings(Document):
    """Questions about images, and handbook English, for projector and language model."""

    num_steps: int = 4000
    images_per_step: int = 4
    """In each of the two processes."""
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    questions_per_image: int = 12
    simple_share: float = 0.5
    """Of the questions: those with an answer of one word; at the beginning all are."""
    projector_noise: float = 0.1
    auxiliary_layer: int = 2
    """Not the last layer, which is computed where an answer is predicted alone."""
    handbook_share: float = 0.25
    """Share of steps with a row of handbook sentences beside the images."""
    spelled_share: float = 0.4
    vocab_size: int = 1280


IMAGE_LAYOUT = Layout(
    max_frames=1,
    width_px=288,
    height_px=192,
    patch_px=16,
    merge=2,
    merged_by="projector",
    temporal_patch=2,
    positions="mrope",
    channels="rgb",
    time_position="after",
    time_format="<|vision_end|>",
    prompt_start="<|im_start|>user\n<|vision_start|>",
    video_token="<|image_pad|>",  # noqa: S106 - no password
    answer_time_step_s=None,
)
"""Qwen2-VL's prompt of one image: 18 x 12 patches, 54 tokens; the image first, so that questions share a prefix."""


class PocketImageSettings(Document):
    """The recipe of the shipped image checkpoint (`make pocket-image-base`)."""

    seed: int = 0
    num_processes: int = 2
    num_validation_scenes: int = 60
    size: PocketSize = PocketSize()
    layout: Layout = IMAGE_LAYOUT
    corpus: ImageCorpusSettings = ImageCorpusSettings()
    vision: ImageVisionSettings = ImageVisionSettings()
    language: ImageLanguageSettings = ImageLanguageSettings()
