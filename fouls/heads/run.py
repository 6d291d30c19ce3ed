"""A finished run, loaded: the head with its weights, and all that it needs to be used."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import safetensors
import safetensors.torch
import torch

from fouls.errors import ConfigError, RunError
from fouls.heads.features import side_by_side
from fouls.heads.frames import PerFrame
from fouls.heads.head import Head
from fouls.heads.keypoint_error import keypoint_error
from fouls.heads.labels import with_frames
from fouls.heads.predictions import Predictions, predict, reduced
from fouls.heads.run_config import RunConfig
from fouls.heads.run_folder import CONFIG, ENSEMBLE, METRICS, WEIGHTS
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: what :func:`load_run` gives."""

    path: Path
    config: RunConfig
    head: Head
    """With the trained weights, in evaluation mode: from a :class:`~fouls.heads.batch.Batch` to logits by task."""
    thresholds: dict[str, list[float]] = field(default_factory=dict)
    """Task → the probability from which each class counts, found on the split that was watched."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the head was trained for."""
        return self.config.tasks

    def predict(
        self, features: npt.NDArray[np.floating] | Sequence[npt.NDArray[np.floating]], rows: pa.Table
    ) -> list[Predictions]:
        """Class probabilities for features from anywhere, such as a new video.

        Args:
            features: (R, …): ``config.stores[0].pool`` of rows made with ``config.stores[0].spec``, float16 or
                float32; where the run has several stores, one array for each, of the same rows.
            rows: the R rows, with the columns ``sample_id, video_id, view, clip, crop, frame_indices, start_frame,
                stop_frame`` of a store's row index.

        Returns:
            One :class:`Predictions` a task, with the samples in the order in which they first stand in ``rows``.

        Raises:
            RunError: the features have another shape than the head was trained on, or the head needs a pose, which
                only a manifest has.
        """
        if self.config.pose is not None:
            raise RunError(f"{self.path} reads the pose of a manifest's keypoints: `fouls evaluate` predicts with it")
        parts = [features] if isinstance(features, np.ndarray) else list(features)
        shapes = [part.shape[1:] for part in parts]
        wanted = [store.pool_shape for store in self.config.stores]
        if shapes != wanted:
            raise RunError(f"features have shape {_shapes(shapes)} a row; {self.path} was trained on {_shapes(wanted)}")
        steps = [np.ascontiguousarray(part.reshape(len(part), -1, part.shape[-1])) for part in parts]
        values = side_by_side(steps, [store.path for store in self.config.stores])
        samples = samples_from_rows(values, rows, clips_are_steps=self.config.stores[0].clips_are_steps)
        return self.predict_samples(_without_labels(samples, rows, self.tasks))

    def predict_samples(self, samples: Samples, *, average_passes: bool = False) -> list[Predictions]:
        """Class probabilities for samples; see :func:`fouls.heads.predictions.predict`."""
        samples = samples.to(next(self.head.parameters()).device)
        return predict(self.head, reduced(self.head, samples), self.tasks, average_passes=average_passes)

    def keypoint_error(self, samples: Samples) -> float | None:
        """See :func:`fouls.heads.keypoint_error.keypoint_error`."""
        samples = samples.to(next(self.head.parameters()).device)
        return keypoint_error(self.head, reduced(self.head, samples))


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _without_labels(samples: Samples, rows: pa.Table, tasks: tuple[Task, ...]) -> Samples:
    nothing = torch.full((len(samples),), -1)
    samples = dataclasses.replace(samples, labels={task.name: nothing for task in tasks if not task.per_frame})
    no_lists: list[PerFrame] = [None] * len(samples.video_ids)
    return with_frames(samples, rows, {task.name: no_lists for task in tasks if task.per_frame})


def load_run(path: str | Path, device: torch.device | None = None) -> Run:
    """Load a finished run.

    Args:
        path: its folder, such as ``runs/videomae-mlp-1``.
        device: where the head goes; ``None``: the CPU.

    Raises:
        RunError: no run there, one that was not finished, a damaged one, or an ensemble.
    """
    path = Path(path)
    if (path / ENSEMBLE).exists():
        raise RunError(f"{path} is an ensemble, which `fouls evaluate` measures; here name one of its runs")
    if not (path / CONFIG).exists():
        raise RunError(f"no run at {path}: `fouls train-head --features cache/NAME` makes one{_others(path)}")
    if not (path / METRICS).exists():
        raise RunError(f"the run at {path} was not finished: train it again with --name {path.name} --overwrite")
    try:
        config = RunConfig.from_json((path / CONFIG).read_bytes())
        metrics: dict[str, Any] = json.loads((path / METRICS).read_bytes())
        head = config.build_head()
        head.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ConfigError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"the run at {path} can't be read ({reason}): train it again") from error
    head = head.eval().to(device or torch.device("cpu"))
    return Run(path=path, config=config, head=head, thresholds=metrics.get("thresholds", {}))


def _others(path: Path) -> str:
    names = sorted(found.parent.name for found in path.parent.glob(f"*/{METRICS}"))
    return f"; {path.parent} has {', '.join(names[-5:])}" if names else ""
