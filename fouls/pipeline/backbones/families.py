"""Families of transformers: from a request to a model with its weights, its name and its preprocessing.

A family is described by data (:class:`Family`); its builder adds the forward pass and the pools.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import WeightsError
from fouls.pipeline.backbones.hub import Heads, checkpoint_folder, load_pretrained, read_json
from fouls.pipeline.backbones.processors import read_preprocessing
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import read_tensors, reading
from fouls.pipeline.backbones.weights import WeightsSource, seeded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Nets of one class of transformers that differ in size."""

    name: str
    """The registered name that takes any size."""
    model_type: str
    """As ``config.json`` names it."""
    model_class: str
    """By its name in transformers."""
    config_class: str
    """By its name in transformers."""
    sizes: Mapping[str, Mapping[str, Any]]
    """Registered name → the values of the config that tell this size from the others."""
    heads: Heads
    """What a checkpoint may lack, and what may be left over."""
    default_preprocessing: Callable[[Any], PreprocessingSpec]
    """From the config: that of the published checkpoints, for those that don't say."""
    input_size: str | None
    """The value of the config that the crop must be; ``None`` where the net takes any size."""
    shared: Mapping[str, Any] = field(default_factory=dict)
    """The values of the config that all published sizes share, and that are not the class's defaults."""
    depth: str = "num_hidden_layers"
    """The value of the config that counts the layers."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model with its weights, and what is known of it."""

    name: str
    """Says no more than is true of the model: of a size that was published, or its width and depth."""
    model: Any
    preprocessing: PreprocessingSpec
    notes: tuple[str, ...]


def load_family(request: BuildRequest, family: Family, state: Mapping[str, Tensor] | None = None) -> Loaded:
    """Load a model from a hub id, a folder or a file in the hub's format, or make weights up.

    The checkpoint's own config decides its shape; only a name with a size asks for that size.

    Args:
        request: what to build.
        family: of what.
        state: what is in the file, where the source is a file that has been read already.

    Raises:
        WeightsError: the weights can't be had, can't be read, don't fit, or are of another model.
    """
    source = request.source
    if source.kind == "random":
        with seeded(source.seed):
            model = transformers_class(family.model_class)(published_config(request, family))
        return describe(request, family, model, folder=None)
    where: Path | Mapping[str, Tensor]
    if source.kind == "file":
        folder, where = source.path.parent, read_tensors(source) if state is None else state
    else:
        folder = where = checkpoint_folder(source)
    config = read_config(request, family, folder)
    return describe(request, family, load_model(family, source, where, config), folder=folder)


def load_model(family: Family, source: WeightsSource, where: Path | Mapping[str, Tensor], config: Any) -> Any:
    """A model with the weights of a folder or of a state dict."""
    return load_pretrained(transformers_class(family.model_class), source, where, config, family.heads)


def describe(request: BuildRequest, family: Family, model: Any, *, folder: Path | None) -> Loaded:
    """Find the preprocessing of a model: what its folder says, or that of the published checkpoints.

    Args:
        request: what was asked for.
        family: of the model.
        model: with its weights.
        folder: of the checkpoint; ``None`` for made-up weights.

    Raises:
        WeightsError: the preprocessing can't be followed, or does not fit the net.
    """
    source, notes = request.source, tuple[str, ...]()
    preprocessing = None if folder is None else read_preprocessing(folder, source)
    if preprocessing is None:
        preprocessing = family.default_preprocessing(model.config)
        if folder is not None:
            notes = (_default_note(source, preprocessing),)
    size = preprocessing.crop if family.input_size is None else getattr(model.config, family.input_size)
    if preprocessing.crop != size:
        raise WeightsError(
            f"weights {source.text!r}: preprocessor_config.json crops to {preprocessing.crop} pixels,"
            f" the net takes {size}"
        )
    return Loaded(name=resolved_name(family, model.config), model=model, preprocessing=preprocessing, notes=notes)


def published_config(request: BuildRequest, family: Family) -> Any:
    """The config of the size that was asked for."""
    size = family.sizes[request.entry.alias_of or request.name]
    return transformers_class(family.config_class)(**{**family.shared, **size})


def read_config(request: BuildRequest, family: Family, folder: Path) -> Any:
    """The checkpoint's config, or for a file without one that of the size that was asked for.

    Raises:
        WeightsError: there is none, it can't be read, or it is of another model or size.
    """
    source, path = request.source, folder / "config.json"
    if source.kind == "file" and not path.exists():
        return published_config(request, family)
    model_type = read_json(path, source).get("model_type")
    if model_type != family.model_type:
        raise WeightsError(
            f"weights {source.text!r} are of a {model_type!r} model; {request.name} needs {family.model_type!r}"
        )
    with reading(source):
        config = transformers_class(family.config_class).from_pretrained(folder, local_files_only=True)
    check_size(request, family, config)
    for name in ("patch_size", family.input_size):
        if name and hasattr(config, name) and not isinstance(getattr(config, name), int):
            raise WeightsError(f"weights {source.text!r}: image and patch must be square, one number each")
    return config


def check_size(request: BuildRequest, family: Family, config: Any) -> None:
    """Refuse another size than the one that was asked for.

    Raises:
        WeightsError: it is another.
    """
    found = resolved_name(family, config)
    if request.entry.alias_of is None and found != request.name:
        raise WeightsError(
            f"weights {request.source.text!r} are {found}, not {request.name}; --backbone {family.name} takes any size"
        )


def resolved_name(family: Family, config: Any) -> str:
    """``videomae_base`` for what is VideoMAE-B, and so on; ``videomae_d96_l4`` for a net of no published size."""
    for name, size in family.sizes.items():
        if all(_same(getattr(config, field), value) for field, value in size.items()):
            return name
    return f"{family.name}_d{config.hidden_size}_l{getattr(config, family.depth)}"


def class_names(config: Any) -> tuple[str, ...]:
    """The classes of a classifier, as its config names them; none where they are only numbered."""
    names = tuple(name for _, name in sorted(config.id2label.items()))
    return () if names == tuple(f"LABEL_{number}" for number in range(len(names))) else names


def transformers_class(name: str) -> Any:
    """A class of transformers; nothing of it is imported before."""
    import transformers

    return getattr(transformers, name)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):  # a ratio, which configs round differently
        return math.isclose(value, wanted, rel_tol=1e-3)
    return bool(value == wanted)


def _default_note(source: WeightsSource, spec: PreprocessingSpec) -> str:
    resize = "stretched to a square of" if spec.resize == "stretch" else "short side"
    return (
        f"{source.text} has no preprocessor_config.json: frames are prepared as for the published checkpoints"
        f" ({resize} {spec.resize_to}, crop {spec.crop}, mean {_list(spec.mean)}, std {_list(spec.std)})"
    )


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
