"""What torchvision's video nets share: published weights by name, files in torchvision's format, presets."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from typing import Any

import torch
from torch import Tensor, nn

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import WeightsError, WeightsUnavailableError
from fouls.pipeline.backbones.backbone import Pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import as_fp32, load_state, read_tensors, reading
from fouls.pipeline.backbones.weights import WeightsSource, one_line, seeded

DOWNLOAD_TIMEOUT_SECONDS = 10.0


def load_net(
    request: BuildRequest,
    construct: Callable[..., nn.Module],
    published: Any,
    convert: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict,
    head: str = "head",
) -> nn.Module:
    """One of torchvision's nets with the weights that are asked for.

    Args:
        request: what to build.
        construct: torchvision's builder, e.g. ``mvit_v2_s``.
        published: torchvision's enum of weights, e.g. ``MViT_V2_S_Weights``; ``None`` where it has none.
        convert: from the names of a file to torchvision's.
        head: the child that is the classifier.

    Returns:
        The net; its classifier is ``None`` where the weights have none.

    Raises:
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    source = request.source
    if source.kind == "random":
        with seeded(source.seed):
            return construct()
    if source.kind == "folder":
        raise WeightsError(f"weights {source.text!r} are a folder; {request.name} reads a .pth or .safetensors file")
    state = convert(read_tensors(source)) if source.kind == "file" else _download(request, published)
    of_head = [tensor for name, tensor in state.items() if name.startswith(f"{head}.")]
    classes = next((len(tensor) for tensor in of_head if tensor.ndim == 1), None)  # its bias tells how many
    with torch.device("meta"):
        model = construct() if classes is None else construct(num_classes=classes)
    if not of_head:
        setattr(model, head, None)
    counts = {name for name in model.state_dict() if name.endswith(".num_batches_tracked")}
    older = {name: torch.zeros((), dtype=torch.int64) for name in counts - state.keys()}  # only training reads them
    load_state(model, {**state, **older}, source)
    return model


def preset(published: Any) -> PreprocessingSpec:
    """The preprocessing with which torchvision published the weights: ``Weights.transforms()``."""
    transforms = next(iter(published)).transforms()
    (resize_to, *width), (crop, _) = transforms.resize_size, transforms.crop_size  # of the short side, or of both
    return PreprocessingSpec(
        resize="stretch" if width else "short_side",
        resize_to=resize_to,
        resize_width=next((pixels for pixels in width if pixels != resize_to), None),
        crop=crop,
        interpolation=transforms.interpolation.value,
        antialias=False,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def class_names(request: BuildRequest, published: Any, pools: Mapping[str, Pool]) -> tuple[str, ...]:
    """The classes of published weights: asked for by name, or a copy of the file under its published name.

    Args:
        request: what was built.
        published: torchvision's enum of weights; ``None`` where it has none.
        pools: of the net; ``logits`` tells how many classes it has.
    """
    source = request.source
    member = _members(published).get(_member_name(source))
    if source.kind == "file":
        file_name = source.path.name
        member = next((one for one in published or () if one.url.rpartition("/")[2] == file_name), None)
    if member is None or "logits" not in pools:
        return ()
    names = tuple(member.meta["categories"])
    return names if (len(names),) == pools["logits"].shape else ()


def _members(published: Any) -> dict[str, Any]:
    return {member.name: member for member in published or ()}


def _member_name(source: WeightsSource) -> str:
    return source.text.rpartition("_Weights.")[2]


def _download(request: BuildRequest, published: Any) -> dict[str, Tensor]:
    source = request.source
    names = _members(published)
    member = names.get(_member_name(source))
    if member is None:
        raise WeightsError(
            f"weights {source.text!r} are no file and not published for {request.name};"
            f" there are: {', '.join(names) or 'none'}"
        )
    with reading(source):
        try:
            with _bounded_waiting(), redirect_stdout(sys.stderr):  # where torch.hub says that it downloads
                return as_fp32(member.get_state_dict(progress=sys.stderr.isatty(), check_hash=True, weights_only=True))
        except (OSError, HTTPException) as error:  # URLError, timeouts and broken connections among them
            raise WeightsUnavailableError(
                f"weights {source.text!r} of {request.name} can't be had from {member.url} ({one_line(error)});"
                f" ways out: --weights FILE of a copy, the file put into {torch.hub.get_dir()}/checkpoints,"
                " or made up: --weights random:0"
            ) from error


@contextmanager
def _bounded_waiting() -> Iterator[None]:
    """torch.hub waits without a limit for a server that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
