"""Before training: features read, labels joined, splits made, options resolved. Nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from fouls import __version__
from fouls.cache.store import Store
from fouls.errors import ConfigError, RunError
from fouls.heads.coverage import Coverage
from fouls.heads.data import Data, DataOptions, load_samples
from fouls.heads.determinism import choose_device
from fouls.heads.head import HeadConfig
from fouls.heads.losses import LossConfig
from fouls.heads.losses.output import check_output
from fouls.heads.options import Plain
from fouls.heads.pool import choose_pool
from fouls.heads.precision import resolve_precision
from fouls.heads.run_config import ManifestReference, RunConfig, StoreReference
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import Samples
from fouls.heads.targets import has_label
from fouls.heads.tasks import Task, tasks_to_train
from fouls.manifests.keypoints import keypoints_of
from fouls.manifests.table import fingerprint_of
from fouls.objects.location import Location

Indices = npt.NDArray[np.int64]
"""Of samples."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is known before training starts."""

    config: RunConfig
    coverage: Coverage
    samples: Samples
    """All that have features, of the splits for training."""
    train: Indices
    """Those to train on; each has a label."""
    valid: Indices
    """Those to watch, likewise; empty: no early stopping."""
    options: Plain
    """What was chosen, resolved, as :func:`fouls.heads.options.read_options` gives it."""
    mapped_bytes: int = 0
    """Of features that lie in a temporary file, as memory does not hold them."""


def prepare(
    stores: Store | Sequence[Store],
    manifest: pa.Table,
    options: RunOptions,
    *,
    manifest_path: str | Location,
    known: dict[DataOptions, Data] | None = None,
) -> Prepared:
    """Read the features, join the labels, and resolve the options. Nothing is written.

    Args:
        stores: the features; those of several stores are concatenated.
        manifest: a validated manifest.
        options: what was chosen.
        manifest_path: where the manifest was read from; it is noted in the run.
        known: what was read of these stores, manifest and splits before; what is read now is added.

    Raises:
        ConfigError: options that can't work, alone or with these stores or this manifest.
        RunError: no labelled sample with features to train on.
        StoreError: a row that is said to be done is not finite.
    """
    stores = [stores] if isinstance(stores, Store) else list(stores)
    tasks = tasks_to_train(manifest, options.tasks)
    loss = check_loss(options.loss.resolved(task.name for task in tasks), tasks)
    pools = choose_pools(stores, options)
    device = choose_device(options.device)
    splits = (options.train_split, options.valid_split)
    data_options = DataOptions(pools=pools, tasks=tasks, augmented=options.augmented, pose=options.pose)
    known = {} if known is None else known
    data = known.get(data_options) or load_samples(stores, manifest, data_options, splits=splits)
    known[data_options] = data
    train, valid = split_samples(data.samples, tasks, options)
    head = with_output(options.head, loss)
    check_output(head, loss, [task.name for task in tasks])
    head = head.resolved(data.form, tasks)
    precision = resolve_precision(options.train.precision, head, data.form, device)
    config = RunConfig(
        head=head,
        train=dataclasses.replace(options.train, precision=precision),
        loss=loss,
        tasks=tasks,
        form=data.form,
        stores=tuple(StoreReference.of(store, pool) for store, pool in zip(stores, pools, strict=True)),
        manifest=ManifestReference(
            path=str(manifest_path), fingerprint=fingerprint_of(manifest), keypoints=keypoints_of(manifest)
        ),
        train_split=options.train_split,
        valid_split=options.valid_split,
        augmented=options.augmented,
        pose=options.pose,
        device=str(device),
        versions={"fouls": __version__, "torch": str(torch.__version__)},
    )
    chosen = dataclasses.replace(
        options,
        head=config.head,
        train=config.train,
        loss=config.loss,
        pools=pools,
        tasks=tuple(task.name for task in tasks),
        device=config.device,
    )
    where = {"features": [str(store.path) for store in stores], "manifest": str(manifest_path)}
    return Prepared(
        config=config,
        coverage=data.coverage,
        samples=data.samples,
        train=train,
        valid=valid,
        options=where | chosen.to_dict(),
        mapped_bytes=data.mapped_bytes,
    )


def check_loss(loss: LossConfig, tasks: Sequence[Task]) -> LossConfig:
    """The loss, if it can be that of these tasks.

    Raises:
        ConfigError: a multi-label task without a binary loss.
    """
    for task in tasks:
        kind = loss.of_task(task.name).kind
        if task.multi_label and kind != "bce":
            raise ConfigError(
                f"task {task.name!r} has any number of labels a sample, which loss {kind!r} can't use: give --loss "
                f"bce, or --set loss.by_task.{task.name}.kind=bce"
            )
    return loss


def with_output(head: HeadConfig, loss: LossConfig) -> HeadConfig:
    """The head with the output that ArcFace needs, where the loss is that of all tasks and none was chosen."""
    if loss.kind not in ("arcface", "arcface_published") or head.output != "linear":
        return head
    return dataclasses.replace(
        head, output=loss.kind, output_scale=loss.arcface_scale, output_margin=loss.arcface_margin
    )


def choose_pools(stores: Sequence[Store], options: RunOptions) -> tuple[str, ...]:
    """The pool of each store.

    Raises:
        ConfigError: another number of pools than stores, or one that is not there or that the head can't read.
    """
    given = options.pools
    if len(given) > 1 and len(given) != len(stores):
        raise ConfigError(f"--pool is given {len(given)} times for {len(stores)} stores; once, or once each")
    wanted = (given * len(stores))[: len(stores)] if given else (None,) * len(stores)
    head = type(options.head)
    return tuple(
        choose_pool(store, pool, preferred=head.default_pools, tokens=head.reads_tokens)
        for store, pool in zip(stores, wanted, strict=True)
    )


def split_samples(samples: Samples, tasks: tuple[Task, ...], options: RunOptions) -> tuple[Indices, Indices]:
    """The labelled samples to train on, and those to watch.

    Raises:
        ConfigError: a share is to be set aside although there is a valid split, or it leaves nothing.
        RunError: there is nothing to train on, or a task has no labels there.
    """
    labelled = has_label(tasks, samples).numpy()
    train = np.flatnonzero((samples.splits == options.train_split) & labelled)
    valid = np.flatnonzero((samples.splits == options.valid_split) & labelled)
    if options.train.valid_fraction:
        if len(valid):
            raise ConfigError(
                f"valid fraction is {options.train.valid_fraction:g}, but the manifest has a split "
                f"{options.valid_split!r} with {len(valid)} samples: leave --valid-fraction out"
            )
        train, valid = _set_aside(train, options.train.valid_fraction, options.train.seed)
    for task in tasks:
        if not has_label((task,), samples.select(train)).any():
            raise RunError(
                f"no sample of split {options.train_split!r} has features and a label of task {task.name!r}: name "
                "another --train-split, or narrow the tasks with --task"
            )
    return train, valid


def _set_aside(train: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """A share of the samples, at least one, drawn by the seed."""
    count = max(1, round(fraction * len(train)))
    if count >= len(train):
        raise ConfigError(f"valid fraction {fraction:g} leaves none of the {len(train)} samples to train on")
    order = np.random.default_rng(seed).permutation(len(train))
    return np.sort(train[order[count:]]), np.sort(train[order[:count]])
