"""LLaMA-Factory 0.9.5 on Qwen2-VL video: its settings for the run that ours is compared with."""

import json
from pathlib import Path
from typing import Any

from benchmarks.training.checkpoint import ADAPTER_LORA
from benchmarks.training.clips import VideoClip, sharegpt_records
from benchmarks.training.environment import BENCH, peer_python, run_on_one_thread
from benchmarks.training.run import Run
from benchmarks.training.synthetic import FRAME_PX

_RUNNER = Path(__file__).parent / "peers" / "run_llamafactory.py"


def train(run: Run, clips: list[VideoClip], name: str, are_frames: bool = False) -> dict[str, Any]:
    """Train and return the figures that `peers/watch.py` writes.

    Args:
        run: settings shared by both sides.
        clips: with their questions; the questions of a clip are one batch.
        name: of the folder for records, log and figures.
        are_frames: give extracted frames instead of videos.
    """
    folder = BENCH / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.json").write_text(json.dumps(sharegpt_records(clips, are_frames)))
    columns = {"messages": "conversations", "videos": "videos"}
    entry = {"file_name": "records.json", "formatting": "sharegpt", "columns": columns}
    (folder / "dataset_info.json").write_text(json.dumps({"bench": entry}))
    (folder / "arguments.json").write_text(json.dumps(_arguments(run, folder)))
    command = [str(peer_python("llamafactory")), str(_RUNNER), str(folder / "arguments.json")]
    run_on_one_thread([*command, str(folder / "figures.json")], folder / "log.txt", {"DISABLE_VERSION_CHECK": "1"})
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return figures


def _arguments(run: Run, folder: Path) -> dict[str, Any]:
    area = FRAME_PX * FRAME_PX
    return {
        "model_name_or_path": str(run.checkpoint / "base"),
        "adapter_name_or_path": str(run.checkpoint / "adapter"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": ADAPTER_LORA.rank,
        "lora_alpha": ADAPTER_LORA.alpha,
        "lora_dropout": ADAPTER_LORA.dropout,
        "lora_target": ",".join(ADAPTER_LORA.targets),
        "freeze_vision_tower": True,
        "freeze_multi_modal_projector": True,
        "disable_gradient_checkpointing": True,
        "flash_attn": "sdpa",
        "dataset": "bench",
        "dataset_dir": str(folder),
        "template": "qwen2_vl",
        "cutoff_len": 8192,
        "video_fps": 10.0,
        "video_maxlen": run.num_frames,
        "video_max_pixels": area,
        "video_min_pixels": area,
        "overwrite_cache": True,
        "preprocessing_num_workers": 1,
        "output_dir": str(folder / "out"),
        "overwrite_output_dir": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_shuffling": True,
        "per_device_train_batch_size": run.num_questions,
        "gradient_accumulation_steps": 1,
        "learning_rate": run.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": run.max_gradient_norm,
        "num_train_epochs": float(run.num_epochs),
        "use_cpu": True,
        "bf16": False,
        "fp16": False,
    }
