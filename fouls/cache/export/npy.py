"""``npy``: an array a video, and beside it a JSON file with its times."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fouls.cache.export.about import About
from fouls.cache.export.videos import VideoFeatures


def write(folder: Path, videos: Iterable[VideoFeatures], about: About) -> dict[str, str]:
    """Write ``NAME.npy``, (R, …) in the stored dtype, and ``NAME.json``.

    Returns:
        Videos that are left out, and why: none.
    """
    for video in videos:
        (folder / f"{video.name}.npy").write_bytes(npy_bytes(video.values))
        (folder / f"{video.name}.json").write_bytes(json_bytes(video.to_dict()))
    return {}


def npy_bytes(values: npt.NDArray[Any]) -> bytes:
    """An array as a ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values), allow_pickle=False)
    return file.getvalue()


def json_bytes(plain: dict[str, Any]) -> bytes:
    """An object as a ``.json`` file."""
    return (json.dumps(plain, indent=1) + "\n").encode()
