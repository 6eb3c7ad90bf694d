"""From a recipe to what trains: the frozen base with a fresh branch, and the way its weights are moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from hazardline.tasks import Branch
from hazardline.train.config import TrainConfig
from hazardline.train.dropout import use_byte_dropout
from hazardline.train.packed import use_tree_attention
from hazardline.train.prefix import ClipRow
from hazardline.train.step import Objective, Passes, PassLoss
from hazardline.train.updater import Replicas, SumOverWorkers, Updater, make_optimizer, trainable
from hazardline.vlm.model import LoraSettings, add_branch, core_model, load_base


def load_model(folder: Path, branch: Branch, config: TrainConfig, seed: int) -> PeftModel:
    """The frozen base of a folder with a fresh branch, ready for packed rows, on this worker's device."""
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    is_half = device.type == "cuda" and config.precision == "bf16"
    base = load_base(folder, torch.bfloat16 if is_half else torch.float32, config.quantisation)
    lora = config.branch_lora(branch)
    settings = LoraSettings(lora.rank, lora.alpha, lora.dropout, lora.targets, config.train_projector)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = add_branch(base, branch, settings)
    for parameter in trainable(model).values():
        parameter.data = parameter.data.float()  # steps of a small learning rate would round away in bf16
    if config.quantisation == "none":
        model.to(device)
    use_tree_attention(model, None if config.attention == "auto" else config.attention)
    if device.type == "cpu":
        use_byte_dropout(model)
        if config.precision == "bf16":
            _keep_bf16(model)
    if config.gradient_checkpointing:
        core_model(model).activation_checkpointing_enable()
    model.train()
    return model


@dataclass
class Learner:
    """What computes the loss of a pass, and what turns losses into changed weights."""

    compute: Callable[[Sequence[ClipRow], int], Tensor]
    updater: Updater
    passes: Passes


def make_learner(
    model: nn.Module,
    objective: Objective,
    config: TrainConfig,
    branch: Branch,
    num_workers: int,
    sum_over_workers: SumOverWorkers,
) -> Learner:
    """The way of a recipe to distribute training and to move weights."""
    compute = PassLoss(model, objective)
    parameters = trainable(compute)
    optimizer = make_optimizer(
        config.optimizer, list(parameters.values()), config.branch_learning_rate(branch), config.weight_decay
    )
    passes = Passes.of(
        config.branch_clips_per_step(branch), num_workers, config.clips_per_row, config.parallelism != "replicas"
    )
    if config.parallelism == "replicas":
        return Learner(compute, Replicas(parameters, optimizer, config.max_gradient_norm, sum_over_workers), passes)
    from hazardline.train.zero import Zero, zero_settings

    settings = zero_settings(config.parallelism, config.max_gradient_norm, config.precision)
    zero = Zero(compute, optimizer, settings)
    return Learner(zero.engine, zero, passes)


def _keep_bf16(model: PeftModel) -> None:
    """Round what goes into the linear layers once and not in each of them; what they compute stays the same.

    Autocast rounds the fp32 output of a norm anew for every layer that takes it, and PEFT widens every LoRA input to
    fp32 only to have it rounded again.
    """

    def round_once(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else output

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
        elif name.endswith(("input_layernorm", "post_attention_layernorm")):
            module.register_forward_hook(round_once)
