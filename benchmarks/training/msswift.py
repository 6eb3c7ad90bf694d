"""ms-swift 4.6 with `--packing` on Qwen2-VL video: its settings for the run that ours is compared with."""

import json
from pathlib import Path
from typing import Any

from benchmarks.training.checkpoint import ADAPTER_LORA
from benchmarks.training.clips import VideoClip, swift_records, write_lines
from benchmarks.training.environment import BENCH, peer_python, run_on_one_thread
from benchmarks.training.run import Run
from benchmarks.training.synthetic import ANSWER_TOKENS, QUESTION_TOKENS

_RUNNER = Path(__file__).parent / "peers" / "run_msswift.py"
_SYSTEM_TOKENS = 20


def train(run: Run, clips: list[VideoClip], name: str) -> dict[str, Any]:
    """Train and return the figures that `peers/watch.py` writes; the questions of a clip are one packed row."""
    folder = BENCH / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "records.jsonl", swift_records(clips))
    config = json.loads((run.checkpoint / "base" / "config.json").read_text())
    arguments = {
        "command_line": _command_line(run, folder),
        "image_token_id": config["image_token_id"],
        "video_token_id": config["video_token_id"],
    }
    (folder / "arguments.json").write_text(json.dumps(arguments))
    command = [str(peer_python("msswift")), str(_RUNNER), str(folder / "arguments.json"), str(folder / "figures.json")]
    frames = str(run.num_frames)
    settings = {"FPS": "10", "FPS_MAX_FRAMES": frames, "FPS_MIN_FRAMES": "2", "VIDEO_MIN_TOKEN_NUM": "64"}
    run_on_one_thread(command, folder / "log.txt", {**settings, "FORCE_QWENVL_VIDEO_READER": "decord"})
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return figures


def _command_line(run: Run, folder: Path) -> list[str]:
    sample = run.num_tokens + _SYSTEM_TOKENS + QUESTION_TOKENS + ANSWER_TOKENS
    packed = int((run.num_questions + 0.4) * sample)  # room for the questions of one clip, and not for one more
    options = {
        "model": run.checkpoint / "base",
        "model_type": "qwen2_vl",
        "template": "qwen2_vl",
        "adapters": run.checkpoint / "adapter",
        "tuner_type": "lora",
        "lora_rank": ADAPTER_LORA.rank,
        "lora_alpha": ADAPTER_LORA.alpha,
        "lora_dropout": ADAPTER_LORA.dropout,
        "freeze_vit": "true",
        "freeze_aligner": "true",
        "dataset": folder / "records.jsonl",
        "split_dataset_ratio": 0,
        "dataset_shuffle": "false",
        "train_dataloader_shuffle": "false",
        "load_from_cache_file": "false",
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "packing": "true",
        "packing_strategy": "sequential",
        "packing_length": packed,
        "max_length": packed,
        "torch_dtype": "float32",
        "use_cpu": "true",
        "bf16": "false",
        "fp16": "false",
        "gradient_checkpointing": "false",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": run.learning_rate,
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0,
        "weight_decay": 0,
        "adam_beta2": 0.999,
        "max_grad_norm": run.max_gradient_norm,
        "num_train_epochs": run.num_epochs,
        "logging_steps": 1,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "output_dir": folder / "out",
        "use_hf": "true",
    }
    targets = ["--target_modules", *ADAPTER_LORA.targets]
    return [part for key, value in options.items() for part in (f"--{key}", str(value))] + targets
