"""Reading a file of weights, and putting a state dict into a net. Never runs code from a file."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fouls.errors import FoulsError, WeightsError
from fouls.pipeline.backbones.weights import WeightsSource, list_names, one_line

WRAPPERS = ("model", "module", "state_dict", "model_state")
"""Under which training scripts save a state dict."""


def read_tensors(source: WeightsSource) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file, or in a pickle of torch's (``.pth``, ``.bin``, …), in fp32.

    Raises:
        WeightsError: damaged, no state dict, or a pickle that wants to run code.
    """
    with reading(source):
        if source.path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return as_fp32(load_file(source.path))
        with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts save their arguments beside
            plain = torch.load(source.path, map_location="cpu", weights_only=True)
    for candidate in (plain, *(plain.get(key) for key in WRAPPERS if isinstance(plain, dict))):
        if isinstance(candidate, dict) and candidate and all(isinstance(value, Tensor) for value in candidate.values()):
            return as_fp32(candidate)
    raise WeightsError(f"weights {source.text!r} hold no state dict (name → tensor), alone or as {', '.join(WRAPPERS)}")


def as_fp32(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, floating ones in fp32."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_state(module: nn.Module, state: Mapping[str, Tensor], source: WeightsSource) -> None:
    """Put a state dict into a net of the same keys and shapes; the net may lie on the meta device.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; lists them.
    """
    wanted = module.state_dict()
    check_keys(source, sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys()))
    check_shapes(source, {key: (state[key].shape, tensor.shape) for key, tensor in wanted.items()})
    module.load_state_dict(dict(state), assign=True)


def check_keys(source: WeightsSource, missing: Sequence[str], unexpected: Sequence[str]) -> None:
    """Refuse weights of which keys are missing or left over.

    Raises:
        WeightsError: lists them.
    """
    parts = [
        f"{len(keys)} {what} ({list_names(keys)})"
        for what, keys in (("missing", missing), ("left over", unexpected))
        if keys
    ]
    if parts:
        raise WeightsError(f"weights {source.text!r} don't fit: keys {' and '.join(parts)}")


def check_shapes(source: WeightsSource, shapes: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> None:
    """Refuse weights of other shapes; ``shapes`` is key → (what the weights have, what the net wants).

    Raises:
        WeightsError: lists them.
    """
    wrong = [
        f"{key} is {tuple(has)} instead of {tuple(wants)}"
        for key, (has, wants) in sorted(shapes.items())
        if tuple(has) != tuple(wants)
    ]
    if wrong:
        raise WeightsError(f"weights {source.text!r} don't fit: {list_names(wrong, 3)}")


@contextmanager
def reading(source: WeightsSource) -> Iterator[None]:
    """Turn whatever a library says about unreadable weights into one line."""
    try:
        yield
    except FoulsError:
        raise
    except Exception as error:
        if is_torchvision_mismatch(error):
            raise
        raise WeightsError(f"weights {source.text!r} {_reason(error)}") from error


def _reason(error: Exception) -> str:
    code = re.search(r"unsupported GLOBAL (\S+)", str(error))
    if code:  # torch has refused to import what the pickle names
        return (
            f"hold more than tensors ({code[1]}), which could run code: refused;"
            " save the state dict alone, best as .safetensors"
        )
    if isinstance(error, pickle.UnpicklingError):
        return "can't be read: damaged, or not written by torch.save"
    return f"can't be read: {one_line(error)}"


def is_torchvision_mismatch(error: BaseException) -> bool:
    """Whether this is how importing a torchvision of another build than torch fails, possibly through transformers."""
    return "torchvision::nms" in str(error)
