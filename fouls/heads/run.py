"""A finished run, loaded: the head with its weights, and all that it needs to be used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import safetensors
import safetensors.torch
import torch

from fouls.errors import ConfigError, RunError
from fouls.heads.frames import align_frames
from fouls.heads.head import Head
from fouls.heads.predictions import Predictions, predict, reduced
from fouls.heads.run_config import RunConfig
from fouls.heads.run_folder import CONFIG, METRICS, WEIGHTS
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: what :func:`load_run` gives."""

    path: Path
    config: RunConfig
    head: Head
    """With the trained weights, in evaluation mode: from x (B, V, T, D) and mask (B, V, T) to logits by task."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the head was trained for."""
        return self.config.tasks

    def predict(self, features: npt.NDArray[np.floating], rows: pa.Table) -> list[Predictions]:
        """Class probabilities for features from anywhere, such as a new video.

        Args:
            features: (R, …): ``config.store.pool`` of rows made with ``config.store.spec``, float16 or float32.
            rows: the R rows, with the columns ``sample_id, video_id, view, clip, crop, frame_indices, start_frame,
                stop_frame`` of a store's row index.

        Returns:
            One :class:`Predictions` a task, with the samples in the order in which they first stand in ``rows``.

        Raises:
            RunError: the features have another shape than the head was trained on.
        """
        shape = self.config.store.pool_shape
        if features.shape[1:] != shape:
            raise RunError(f"features have shape {features.shape[1:]} a row; {self.path} was trained on {shape}")
        values = np.ascontiguousarray(features.reshape(len(features), -1, shape[-1]))
        samples = samples_from_rows(values, rows, clips_are_steps=self.config.store.clips_are_steps)
        return self.predict_samples(_without_labels(samples, rows, self.tasks))

    def predict_samples(self, samples: Samples) -> list[Predictions]:
        """Class probabilities for samples, a :class:`Predictions` a task."""
        samples = samples.to(next(self.head.parameters()).device)
        return predict(self.head, reduced(self.head, samples), self.tasks)


def _without_labels(samples: Samples, rows: pa.Table, tasks: tuple[Task, ...]) -> Samples:
    frames = None
    if any(task.per_frame for task in tasks):
        frames = align_frames(rows, samples.clips.numpy(), samples.values.shape[1])
    nothing = torch.full((len(samples),), -1)
    return dataclasses.replace(
        samples,
        labels={task.name: nothing for task in tasks if not task.per_frame},
        frame_labels={task.name: frames for task in tasks if frames is not None and task.per_frame},
    )


def load_run(path: str | Path, device: torch.device | None = None) -> Run:
    """Load a finished run.

    Args:
        path: its folder, such as ``runs/videomae-mlp-1``.
        device: where the head goes; ``None``: the CPU.

    Raises:
        RunError: no run there, one that was not finished, or a damaged one.
    """
    path = Path(path)
    if not (path / CONFIG).exists():
        raise RunError(f"no run at {path}: `fouls train-head --features cache/NAME` makes one{_others(path)}")
    if not (path / METRICS).exists():
        raise RunError(f"the run at {path} was not finished: train it again with --name {path.name} --overwrite")
    try:
        config = RunConfig.from_json((path / CONFIG).read_bytes())
        head = config.build_head()
        head.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ConfigError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"the run at {path} can't be read ({reason}): train it again") from error
    return Run(path=path, config=config, head=head.eval().to(device or torch.device("cpu")))


def _others(path: Path) -> str:
    names = sorted(found.parent.name for found in path.parent.glob(f"*/{METRICS}"))
    return f"; {path.parent} has {', '.join(names[-5:])}" if names else ""
