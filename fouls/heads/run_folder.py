"""The folder of a run: what its files are called, how it is made, and how they are written.

A run is finished when ``metrics.json`` is there, which is written last; a folder without it is not loaded.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from fouls.errors import ConfigError, RunError
from fouls.files import write_atomically
from fouls.heads.head import Head

CONFIG, WEIGHTS, HISTORY, METRICS = "config.json", "weights.safetensors", "history.csv", "metrics.json"
PREDICTIONS, CURVES = "predictions.parquet", "curves.png"
OPTIONS = "options.yaml"
"""What was chosen, resolved; ``fouls train-head --config`` reads it."""
ENSEMBLE = "ensemble.json"
"""In the folder of an ensemble, in the place of a config."""

SWEEP, RESULTS, RESULTS_PICTURE = "sweep.yaml", "results.parquet", "results.png"
"""Of a sweep: what was asked, and what was found, the table after everything else."""
_KINDS = {CONFIG: "run", ENSEMBLE: "ensemble", SWEEP: "sweep"}

_NAME = re.compile(r"[\w.-]*\w[\w.-]*")


def predictions_file(split: str) -> str:
    """Where evaluation writes the predictions of a split."""
    return f"predictions_{split}.parquet"


def metrics_file(split: str) -> str:
    """Where evaluation writes what it measured on a split, after everything else."""
    return f"metrics_{split}.json"


def create_folder(out: Path, name: str | None, default: str, *, overwrite: bool, config: str = CONFIG) -> Path:
    """Make the folder of a new run.

    Args:
        out: where runs lie.
        name: of the run; ``None``: ``{default}-1``, or the next number that is free.
        default: the beginning of that.
        overwrite: a run that is there goes.
        config: the file that such a folder has; one without it is never replaced.

    Raises:
        RunError: the name is taken, or belongs to something that is no run.
        ConfigError: the name is no plain name of a folder.
    """
    if name is None:
        taken = {folder.name for folder in out.iterdir()} if out.is_dir() else set()
        number = next(number for number in range(1, len(taken) + 2) if f"{default}-{number}" not in taken)
        name = f"{default}-{number}"
    elif not _NAME.fullmatch(name):
        raise ConfigError(f"name {name!r}: allowed are letters, digits, '_', '-' and '.'; --out says where runs lie")
    path = out / name
    if path.exists() and any(path.iterdir()):
        if not (path / config).exists():
            raise RunError(f"{path} is there and is no {_KINDS[config]}: choose another --name")
        if not overwrite:
            raise RunError(f"{path} is there already: choose another --name, or --overwrite it")
        for mark in (METRICS, RESULTS):
            (path / mark).unlink(missing_ok=True)  # first of all it stops being finished
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def save_weights(path: Path, head: Head) -> None:
    """Write the weights, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
    write_atomically(path, safetensors.torch.save(tensors))


def write_json(path: Path, plain: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    write_atomically(path, (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode())
