"""``hdf5``: one file with a group a video."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fouls.cache.export.about import About
from fouls.cache.export.videos import PLACES, TIMES, VideoFeatures
from fouls.errors import ExportError

FILE = "features.h5"


def write(folder: Path, videos: Iterable[VideoFeatures], about: About) -> dict[str, str]:
    """Write :data:`FILE`: in the group of a video ``features``, (R, …), a data set for each of its times, and JSON with
    its id, sample, view, split, labels and frame rate, ``about``.

    Returns:
        Videos that are left out, and why: none.

    Raises:
        ExportError: h5py is not installed.
    """
    h5py = _h5py()
    with h5py.File(folder / FILE, "w") as file:
        file.attrs.update(
            {"pool": about.pool, "fingerprint": about.store.fingerprint, "spec": about.store.spec.canonical_json()}
        )
        for video in videos:
            group = file.create_group(video.name)
            group.create_dataset("features", data=video.values)
            for name in (*PLACES, *TIMES):
                group.create_dataset(name, data=video.rows[name].to_numpy())
            # As JSON, and no attributes: these may not be long, and strings there may not hold every character.
            group.create_dataset("about", data=json.dumps(video.about()))
    return {}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ExportError("--to hdf5 needs h5py: pip install 'fouls[export]'") from error
    return h5py
