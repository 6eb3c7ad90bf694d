"""Hugging Face `Trainer` on VideoLLaMA3: what one writes where no fine-tuning tool knows the model.

The usual form: the collator decodes the clip of every sample, the processor cuts and tokenises, the model runs from
pixels with labels. Both sides run in processes of their own, in our environment, on the same clips and questions.
`python -m benchmarks.training.hf_trainer ARGUMENTS.json FIGURES.json`
"""

import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import AutoProcessor, Trainer, TrainingArguments
from transformers.models.video_llama_3.modeling_video_llama_3 import VideoLlama3VisionModel

from benchmarks.training.clips import Question, VideoClip
from benchmarks.training.own_process import task_of, train_in_own_process
from benchmarks.training.peers.watch import Watch
from benchmarks.training.run import Run
from benchmarks.training.samples import Pixels, read_pixels, sample
from hazardline.train.prefix import Sample
from hazardline.vlm.model import load_base

_IGNORED = -100


def train(run: Run, clips: list[VideoClip], name: str) -> dict[str, Any]:
    """Train in a fresh process and return its figures."""
    return train_in_own_process(__name__, run, clips, name)


class Questions(Dataset[tuple[VideoClip, Question]]):
    """One item a question; the questions of a clip one behind another."""

    def __init__(self, clips: list[VideoClip]) -> None:
        """Flatten the clips."""
        self._items = [(clip, question) for clip in clips for question in clip.questions]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: int) -> tuple[VideoClip, Question]:
        return self._items[place]


class Collator:
    """Decodes, cuts and tokenises a batch of questions, each with a clip of its own."""

    def __init__(self, processor: Any, num_frames: int) -> None:
        """Keep the processor."""
        self._processor = processor
        self._num_frames = num_frames

    def read(self, clip: VideoClip) -> Pixels:
        """Decode one clip (a method of its own, so that its time can be told)."""
        return read_pixels(self._processor, clip, self._num_frames)

    def __call__(self, items: list[tuple[VideoClip, Question]]) -> dict[str, torch.Tensor]:
        pixels = [self.read(clip) for clip, _ in items]
        samples = [
            sample(self._processor, question, one.grid) for (_, question), one in zip(items, pixels, strict=True)
        ]
        return {
            **_padded(samples, self._processor.tokenizer.pad_token_id),
            "pixel_values_videos": torch.cat([one.media.patches for one in pixels]),
            "video_grid_thw": torch.tensor([one.grid for one in pixels]),
            "video_merge_sizes": torch.tensor([one.media.merge for one in pixels]),
        }


def _padded(samples: list[Sample], pad_id: int) -> dict[str, torch.Tensor]:
    longest = max(len(one.ids) for one in samples)
    ids = torch.full((len(samples), longest), pad_id)
    labels = torch.full_like(ids, _IGNORED)
    visible = torch.zeros_like(ids)
    for number, one in enumerate(samples):
        ids[number, : len(one.ids)] = torch.tensor(one.ids)
        visible[number, : len(one.ids)] = 1
        labels[number, one.answer_start : len(one.ids)] = torch.tensor(one.ids[one.answer_start :])
    return {"input_ids": ids, "attention_mask": visible, "labels": labels}


class InOrder(Trainer):
    """Without shuffling, for loss curves that can be compared."""

    def _get_train_sampler(self, *arguments: Any, **named: Any) -> Sampler[int]:
        assert isinstance(self.train_dataset, Questions)
        return SequentialSampler(self.train_dataset)


def train_here(run: Run, clips: list[VideoClip], output: Path, watch: Watch) -> None:
    """The training itself."""
    processor = AutoProcessor.from_pretrained(run.checkpoint / "base")
    base = load_base(run.checkpoint / "base")
    model = PeftModel.from_pretrained(base, run.checkpoint / "adapter", is_trainable=True)
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=run.num_questions,
        num_train_epochs=run.num_epochs,
        learning_rate=run.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=run.max_gradient_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    watch.time(Collator, "read", "decode")
    watch.time(VideoLlama3VisionModel, "forward", "encode")
    collator = Collator(processor, run.num_frames)
    InOrder(model, arguments, collator, Questions(clips), callbacks=[watch]).train()


def main() -> None:
    """Run in this process what `train` has written down."""
    torch.set_num_threads(1)
    watch = Watch()
    run, clips, folder = task_of(Path(sys.argv[1]))
    train_here(run, clips, folder / "out", watch)
    watch.write(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
