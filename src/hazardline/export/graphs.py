"""The torch modules that become ONNX graphs: vision encoder, projector, and a decoder whose LoRA weights are inputs.

The decoder reads one row of tokens with an explicit mask, so that the questions about a clip are decoded side by side
on one prefix cache: each sees the prefix and itself, none is padded, and the prefix is never copied.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import rotate_half

from hazardline.vlm.family import family_of
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model, encode, projector

ATTENTION_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_LINEARS = ("gate_proj", "up_proj", "down_proj")


def lora_names(num_layers: int) -> list[str]:
    """Names of the decoder's LoRA inputs in their order: `layers.0.q_proj.lora_A`, `layers.0.q_proj.lora_B`, ..."""
    return [
        f"layers.{layer}.{linear}.lora_{side}"
        for layer in range(num_layers)
        for linear in (*ATTENTION_LINEARS, *MLP_LINEARS)
        for side in "AB"
    ]


def linear_of(layer: nn.Module, name: str) -> Any:
    """The linear layer (PEFT's wrapper, where there is one) of a decoder layer."""
    return getattr(layer.self_attn if name in ATTENTION_LINEARS else layer.mlp, name)


def is_adapted(linear: nn.Module, branch: str) -> bool:
    """Whether a branch has LoRA weights on a linear layer."""
    return branch in getattr(linear, "lora_A", ())


def lora_weights(model: nn.Module, branch: str) -> dict[str, Tensor]:
    """LoRA weights of a branch under the names of the decoder's inputs; alpha / rank is folded into B.

    Returns:
        A as (inputs, rank) and B as (rank, outputs): transposed, as the graph multiplies them. The rank is 0 where the
        branch adapts nothing.
    """
    weights = {}
    for number, layer in enumerate(core_model(model).model.language_model.layers):
        for name in (*ATTENTION_LINEARS, *MLP_LINEARS):
            linear = linear_of(layer, name)
            if not is_adapted(linear, branch):
                weights[f"layers.{number}.{name}.lora_A"] = torch.zeros(linear.in_features, 0)
                weights[f"layers.{number}.{name}.lora_B"] = torch.zeros(0, linear.out_features)
                continue
            side_a, side_b = linear.lora_A[branch].weight, linear.lora_B[branch].weight
            weights[f"layers.{number}.{name}.lora_A"] = side_a.detach().T.contiguous()
            weights[f"layers.{number}.{name}.lora_B"] = (side_b.detach().T * linear.scaling[branch]).contiguous()
    return weights


class VisionGraph(nn.Module):
    """The vision encoder over frames of the layout's one size: `vlm.model.encode` with constant positions."""

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        """Take the encoder of a base or PEFT model."""
        super().__init__()
        self.model = core_model(model)
        self.grid, self.merge = layout.grid, layout.merge

    def forward(self, patches: Tensor) -> Tensor:
        """(frames, patches, patch size) -> (frames, features of a frame, vision hidden size)."""
        return encode(self.model, patches, self.grid, self.merge)


def projector_of(model: nn.Module, branch: str) -> nn.Module:
    """The projector of a branch of a PEFT model: its own, or the base's where it trains none.

    (frames, features of a frame, vision hidden size) -> embeddings of all vision tokens, (frames, tokens, hidden size)
    or, of Qwen2-VL's merger, in one piece.
    """
    found = projector(model)
    chosen: nn.Module = found.modules_to_save[branch] if hasattr(found, "modules_to_save") else found
    return chosen


class DecoderGraph(nn.Module):
    """The language model and its head over one row of tokens, with a KV cache and the LoRA weights as inputs."""

    def __init__(self, model: nn.Module) -> None:
        """Take the base layers of a base or PEFT model; its own LoRA weights are left out."""
        super().__init__()
        core = core_model(model)
        language = core.model.language_model
        config = language.config
        self.num_layers: int = config.num_hidden_layers
        self.num_kv_heads: int = config.num_key_value_heads
        self.groups: int = config.num_attention_heads // self.num_kv_heads
        self.hidden_size: int = config.hidden_size
        self.head_dim: int = getattr(config, "head_dim", None) or self.hidden_size // config.num_attention_heads
        self.layers = language.layers
        self.norm, self.rotary, self.head = language.norm, language.rotary_emb, core.lm_head
        self.position_axes: int = family_of(core).position_axes

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        visible: Tensor,
        logit_positions: Tensor,
        past: list[Tensor],
        lora: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Run some new tokens.

        Args:
            inputs_embeds: (1, tokens, hidden size).
            position_ids: int64 (position axes, tokens).
            visible: bool (tokens, past + tokens), True where a token may look.
            logit_positions: int64 (outputs,), the new tokens whose logits are wanted.
            past: key and value of each layer in turn, (1, key-value heads, past, head size).
            lora: weights in the order of `lora_names`.

        Returns:
            Logits (outputs, vocabulary), then `past` with the new tokens added.
        """
        states = inputs_embeds[0]
        cos, sin = self.rotary(states, position_ids if self.position_axes == 1 else position_ids[:, None])
        cos, sin = cos[0][:, None], sin[0][:, None]
        bias = torch.where(visible, 0.0, torch.finfo(states.dtype).min)
        present: list[Tensor] = []
        per_layer = 2 * len(ATTENTION_LINEARS + MLP_LINEARS)
        for number, layer in enumerate(self.layers):
            weights = _by_linear(lora[number * per_layer : (number + 1) * per_layer])
            normed = layer.input_layernorm(states)
            mixed, key, value = self._attend(layer, weights, normed, (cos, sin), bias, past[2 * number :])
            present += [key, value]
            states = states + mixed
            normed = layer.post_attention_layernorm(states)
            gate = functional.silu(_apply(layer, "gate_proj", weights, normed))
            states = states + _apply(layer, "down_proj", weights, gate * _apply(layer, "up_proj", weights, normed))
        wanted = self.norm(states.index_select(0, logit_positions))
        return (torch.mm(wanted, self.head.weight.t()), *present)

    def _attend(
        self,
        layer: nn.Module,
        weights: Mapping[str, tuple[Tensor, Tensor]],
        normed: Tensor,
        rotation: tuple[Tensor, Tensor],
        bias: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = normed.shape[0]
        query = _rotate(_apply(layer, "q_proj", weights, normed).view(count, -1, self.head_dim), rotation)
        key = _rotate(_apply(layer, "k_proj", weights, normed).view(count, -1, self.head_dim), rotation)
        value = _apply(layer, "v_proj", weights, normed).view(count, -1, self.head_dim)
        key = torch.cat([past[0], key.transpose(0, 1)[None]], dim=2)
        value = torch.cat([past[1], value.transpose(0, 1)[None]], dim=2)
        # The queries of heads that share keys stand one behind another, so that no key is copied.
        grouped = query.view(count, self.num_kv_heads, self.groups, self.head_dim).permute(1, 2, 0, 3)
        stacked = grouped.reshape(self.num_kv_heads, -1, self.head_dim) * self.head_dim**-0.5
        scores = torch.bmm(stacked, key[0].transpose(1, 2)).view(self.num_kv_heads, self.groups, count, -1) + bias
        shares = torch.softmax(scores, dim=-1).view(self.num_kv_heads, self.groups * count, -1)
        mixed = torch.bmm(shares, value[0]).view(self.num_kv_heads, self.groups, count, self.head_dim)
        return _apply(layer, "o_proj", weights, mixed.permute(2, 0, 1, 3).reshape(count, -1)), key, value


def _rotate(states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    rotated: Tensor = states * cos + rotate_half(states) * sin
    return rotated


def _by_linear(lora: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    names = (*ATTENTION_LINEARS, *MLP_LINEARS)
    return {name: (lora[2 * index], lora[2 * index + 1]) for index, name in enumerate(names)}


def _apply(layer: nn.Module, name: str, weights: Mapping[str, tuple[Tensor, Tensor]], states: Tensor) -> Tensor:
    linear = linear_of(layer, name)
    base = linear.base_layer if hasattr(linear, "base_layer") else linear
    side_a, side_b = weights[name]
    # A plain product: a linear layer would become a Gemm, which the quantiser leaves alone.
    result: Tensor = torch.mm(states, base.weight.t()) + torch.mm(torch.mm(states, side_a), side_b)
    if base.bias is not None:
        result = result + base.bias
    return result
