"""The published PyTorch weights (trained on Kinetics-600), downloaded once."""

from __future__ import annotations

from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

from fouls.errors import WeightsError, WeightsUnavailableError
from fouls.files import write_atomically
from fouls.pipeline.backbones.weights import WeightsSource, one_line

FOLDER_URL = "https://github.com/Atze00/MoViNet-pytorch/raw/main/weights"
TIMEOUT_SECONDS = 10.0


def published_weights(size: str, *, stream: bool) -> str:
    """Name of the published file of one size (``a0`` …)."""
    return f"model{size.upper()}{'_stream' if stream else ''}_statedict_v3"


def fetch(source: WeightsSource, published: str) -> WeightsSource:
    """The published weights as a file, downloaded into torch's folder of checkpoints unless they lie there.

    Args:
        source: what was asked for, a name.
        published: the name of what is published.

    Raises:
        WeightsError: nothing of that name is published.
        WeightsUnavailableError: it can't be downloaded.
    """
    if source.text != published:
        raise WeightsError(f"weights {source.text!r} are no file and not published; there is: {published}")
    path = Path(torch.hub.get_dir()) / "checkpoints" / published
    if not path.exists():
        url = f"{FOLDER_URL}/{published}"
        try:
            with urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                content = response.read()
        except (OSError, HTTPException) as error:  # URLError, timeouts and broken connections among them
            raise WeightsUnavailableError(
                f"weights {published!r} can't be had from {url} ({one_line(error)}); ways out: --weights FILE of a"
                f" copy, the file put into {path.parent}, or made up: --weights random:0"
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return replace(source, kind="file", text=str(path))
