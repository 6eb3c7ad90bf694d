"""Block-wise integer weights for the decoder, and optional LoRA inputs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnx import TensorProto, helper

from hazardline.device.manifest import Quantisation

_LORA_MARK = ".lora_"


def quantise(model: onnx.ModelProto, settings: Quantisation) -> onnx.ModelProto:
    """Store the constant weights of every MatMul as symmetric integers (MatMulNBits); LoRA inputs stay in float.

    Args:
        model: the float decoder; it is left as it is.
        settings: bits, block size and accuracy level.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantiser = MatMulNBitsQuantizer(
        copy,
        bits=settings.bits,
        block_size=settings.block_size,
        is_symmetric=True,
        accuracy_level=settings.accuracy_level,
    )
    with _quiet():
        quantiser.process()
    result: onnx.ModelProto = quantiser.model.model
    return result


def with_optional_lora(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every LoRA input a default of rank 0, so that the base runs without an adapter.

    After quantising, because the quantiser would take the defaults for weights.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for item in copy.graph.input:
        if _LORA_MARK in item.name:
            shape = [0 if dim.HasField("dim_param") else dim.dim_value for dim in item.type.tensor_type.shape.dim]
            copy.graph.initializer.append(helper.make_tensor(item.name, TensorProto.FLOAT, shape, []))
    return copy


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs a line for every matrix at INFO."""
    logger = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
