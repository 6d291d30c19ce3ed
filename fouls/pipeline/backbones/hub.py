"""Checkpoints in the hub's format: a folder with ``config.json`` and weights, here, in the cache, or on the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fouls.errors import WeightsError, WeightsUnavailableError
from fouls.pipeline.backbones.tensors import check_keys, check_shapes, reading
from fouls.pipeline.backbones.weights import WeightsSource, one_line

PROCESSOR_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
"""The first that is there counts, as in transformers."""
HUB_TIMEOUT_SECONDS = 5.0
_SMALL_FILES = ["config.json", *PROCESSOR_FILES]
_WEIGHTS = (["*.safetensors", "*.safetensors.index.json"], ["pytorch_model*.bin", "pytorch_model.bin.index.json"])


def checkpoint_folder(source: WeightsSource) -> Path:
    """The folder of a checkpoint; one on the hub is downloaded into the hub's cache unless it is there.

    Raises:
        WeightsError: no hub id.
        WeightsUnavailableError: the hub can't be reached or does not have it, and neither does the cache.
    """
    if source.kind == "folder":
        return source.path
    if source.text.count("/") != 1:
        raise WeightsError(f"weights {source.text!r} are no folder, no file and no hub id (ORG/NAME)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(source.text, local_files_only=True))
        if (cached / "config.json").exists() and _has_weights(cached):
            return cached
    except LocalEntryNotFoundError:
        pass
    try:
        for patterns in _WEIGHTS:  # the second only where the first is not there
            wanted = [*_SMALL_FILES, *patterns]
            folder = Path(snapshot_download(source.text, allow_patterns=wanted, etag_timeout=HUB_TIMEOUT_SECONDS))
            if _has_weights(folder):
                return folder
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsUnavailableError(
            f"weights {source.text!r} are not in the hub's cache and can't be had from the hub ({one_line(error)});"
            " ways out: --weights FOLDER of a copy, a cache filled elsewhere (HF_HOME), or made up: --weights random:0"
        ) from error
    raise WeightsUnavailableError(
        f"weights {source.text!r}: neither the hub nor its cache here has a .safetensors or pytorch_model.bin of it"
    )


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Keys apart from the trunk, of which a checkpoint may have all, some heads, or others."""

    optional: tuple[str, ...]
    """Children of the model that a checkpoint may lack."""
    ignored: tuple[str, ...] = ()
    """Beginnings of keys that a checkpoint may have and that are not used."""


def load_pretrained(
    model_class: Any, source: WeightsSource, where: Path | Mapping[str, Tensor], config: Any, heads: Heads
) -> nn.Module:
    """Load a model of transformers in fp32 through its own loading, and compare the keys.

    Args:
        model_class: e.g. ``VideoMAEForVideoClassification``.
        source: for the messages.
        where: a checkpoint folder, or a state dict.
        config: of the model.
        heads: which children may be missing (they become ``None``), which keys may be left over.

    Raises:
        WeightsError: the weights can't be read, have other shapes, or leave keys missing or over.
    """
    if isinstance(where, Path):
        place: dict[str, Any] = {"pretrained_model_name_or_path": where, "local_files_only": True}
    else:
        place = {"pretrained_model_name_or_path": None, "state_dict": dict(where)}
    options = {"config": config, "dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    with reading(source), _quiet_transformers(), torch.random.fork_rng(devices=[]):
        model, info = model_class.from_pretrained(**place, **options)
    check_shapes(source, {key: (has, wants) for key, has, wants in info["mismatched_keys"]})
    missing = set(info["missing_keys"])
    for head in heads.optional:
        keys = {key for key in model.state_dict() if key.startswith(f"{head}.")}
        if keys and keys <= missing:
            missing -= keys
            setattr(model, head, None)
    unexpected = [key for key in info["unexpected_keys"] if not key.startswith(heads.ignored or ("\0",))]
    check_keys(source, sorted(missing), sorted(unexpected))
    return model  # type: ignore[no-any-return]


def read_json(path: Path, source: WeightsSource) -> dict[str, Any]:
    """A JSON object from a checkpoint folder.

    Raises:
        WeightsError: it is not there, or is no JSON object.
    """
    try:
        plain = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise WeightsError(f"weights {source.text!r}: {path} is missing; the hub's format has one") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"weights {source.text!r}: {path} can't be read: {one_line(error)}") from error
    if not isinstance(plain, dict):
        raise WeightsError(f"weights {source.text!r}: {path} holds no JSON object")
    return plain


def _has_weights(folder: Path) -> bool:
    return any(True for patterns in _WEIGHTS for _ in folder.glob(patterns[0]))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No report and no progress bar of transformers: what they would tell is checked and told here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    restore: Callable[[], None] = logging.enable_progress_bar if bars else logging.disable_progress_bar
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        restore()
