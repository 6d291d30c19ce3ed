"""Reading a file of weights. Never runs code from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fouls.errors import WeightsError
from fouls.pipeline.backbones.hub import reading
from fouls.pipeline.backbones.weights import WeightsSource


def read_tensors(source: WeightsSource) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file, or in a pickle of torch's (``.pth``, ``.bin``, …), in fp32.

    Raises:
        WeightsError: damaged, no state dict, or a pickle that wants to run code.
    """
    if source.path.suffix == ".safetensors":
        from safetensors.torch import load_file

        with reading(source):
            return _as_fp32(load_file(source.path))
    try:
        with reading(source):
            plain = torch.load(source.path, map_location="cpu", weights_only=True)
    except WeightsError as error:
        if "weights_only" not in str(error.__cause__).lower():
            raise
        raise WeightsError(
            f"weights {source.text!r} hold more than tensors, which could run code: refused;"
            " save the state dict alone, best as .safetensors"
        ) from error
    if not isinstance(plain, dict) or not plain or not all(isinstance(value, Tensor) for value in plain.values()):
        raise WeightsError(f"weights {source.text!r} hold no state dict (name → tensor)")
    return _as_fp32(plain)


def _as_fp32(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
