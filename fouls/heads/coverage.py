"""Which rows of a store belong to which videos of a manifest, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many of the samples that carry labels have features."""

    labelled: int
    """Samples with a label in one of the tasks."""
    missing: int
    """Labelled samples without any features."""
    partial: int
    """Labelled samples that lack the features of some of their videos."""
    reasons: dict[str, int]
    """Why videos of labelled samples lack features → how many."""

    def describe(self) -> str | None:
        """One line for the user; ``None`` where nothing is missing."""
        if not self.missing and not self.partial:
            return None
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items() if count)
        return (
            f"of {self.labelled} labelled samples {self.missing} have no features and {self.partial} lack some of "
            f"their videos (videos: {reasons}); trained and measured is what is there"
        )


def join(
    rows: pa.Table, manifest: pa.Table, *, augmented: bool = False
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int64]]]:
    """Which manifest row each row of the index belongs to, -1 where it does not count; and why videos lack features.

    Args:
        rows: a row index with ``status``.
        manifest: videos.
        augmented: rows of augmented passes count too; whether a video has features is decided by the plain ones.

    Returns:
        Positions (rows,), and reason → positions of the videos in the manifest.
    """
    found = pc.index_in(rows["video_id"], value_set=manifest["video_id"].combine_chunks())
    positions = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    status = rows["status"].to_numpy().astype(str)
    stale = _is_stale(rows, manifest, positions)
    usable = (positions >= 0) & (status == "done") & ~stale
    plain = rows["augment"].to_numpy() == 0
    lacking = np.ones(manifest.num_rows, dtype=bool)
    lacking[positions[usable & plain]] = False
    reasons: dict[str, npt.NDArray[np.int64]] = {}
    known = positions >= 0
    for reason, cause in (
        ("failed", known & (status == "failed") & ~stale),
        ("changed since they were extracted", known & stale),
        ("not extracted", known),
    ):
        because = np.zeros(manifest.num_rows, dtype=bool)
        because[positions[cause]] = True
        reasons[reason] = np.flatnonzero(because & lacking)
        lacking &= ~because
    reasons["not planned"] = np.flatnonzero(lacking)
    return np.where(usable if augmented else usable & plain, positions, -1), reasons


def _is_stale(rows: pa.Table, manifest: pa.Table, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether the manifest now describes another content, or another segment, than the row was extracted from.

    A file that is gone has no content hash any more: what was extracted from it stays good.
    """
    described = manifest.select(["content_hash", "start_frame", "stop_frame"]).take(pa.array(positions.clip(min=0)))
    stale = np.zeros(len(positions), dtype=bool)
    for ours, theirs in (
        ("content_hash", "content_hash"),
        ("segment_start", "start_frame"),
        ("segment_stop", "stop_frame"),
    ):
        here, there = rows[ours], described[theirs]
        one_null = pc.xor(pc.is_null(here), pc.is_null(there))
        differs = pc.or_kleene(pc.fill_null(pc.not_equal(here, there), False), one_null)
        stale |= differs.to_numpy().astype(bool)
    gone = pc.is_null(described["content_hash"]).to_numpy().astype(bool)
    is_stale: npt.NDArray[np.bool_] = stale & ~gone & (positions >= 0)
    return is_stale


def measure_coverage(
    manifest: pa.Table,
    tasks: Sequence[Task],
    has_features: npt.NDArray[np.bool_],
    reasons: Mapping[str, npt.NDArray[np.int64]],
) -> Coverage:
    """Count the labelled samples of a manifest that have features, lack some, or lack all.

    Args:
        manifest: videos with labels.
        tasks: whose labels count.
        has_features: (videos,)
        reasons: why videos lack features → their positions in the manifest.
    """
    sample = pc.dictionary_encode(manifest["sample_id"]).combine_chunks().indices.to_numpy()
    num_samples = int(sample.max(initial=-1)) + 1
    labelled, complete, some = (np.zeros(num_samples, dtype=bool) for _ in range(3))
    labelled[sample[_is_labelled(manifest, tasks)]] = True
    some[sample[has_features]] = True
    complete[:] = True
    complete[sample[~has_features]] = False
    return Coverage(
        labelled=int(labelled.sum()),
        missing=int((labelled & ~some).sum()),
        partial=int((labelled & some & ~complete).sum()),
        reasons={reason: int(labelled[sample[videos]].sum()) for reason, videos in reasons.items()},
    )


def _is_labelled(manifest: pa.Table, tasks: Sequence[Task]) -> npt.NDArray[np.bool_]:
    """Which videos carry a label of some task, (videos,)."""
    labelled = np.zeros(manifest.num_rows, dtype=bool)
    for task in tasks:
        if task.column not in manifest.column_names:
            continue
        column = manifest[task.column]
        if task.per_frame:
            values, parents = pc.list_flatten(column), pc.list_parent_indices(column)
            labelled[parents.to_numpy()[values.to_numpy() >= 0]] = True
        else:
            labelled |= pc.is_valid(column).to_numpy().astype(bool)
    return labelled
