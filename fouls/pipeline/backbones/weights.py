"""Where weights come from (``--weights``), and their identity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fouls.errors import WeightsError, WeightsUnavailableError

PretrainedSource = Literal["auto", "kinetics", "imagenet"]
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pyth", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """One value of ``--weights``, understood."""

    kind: Literal["random", "file", "folder", "name"]
    """``name`` is a hub id or one of torchvision's names: the family knows which."""
    text: str
    """As it was typed, or as the registry has it."""
    seed: int = 0
    """Of ``random``."""

    @property
    def path(self) -> Path:
        """Of ``file`` and ``folder``."""
        return Path(self.text).expanduser()

    @property
    def random_seed(self) -> int | None:
        """The seed of made-up weights; ``None`` for a checkpoint."""
        return self.seed if self.kind == "random" else None


def parse_weights(text: str) -> WeightsSource:
    """Tell the kinds of ``--weights`` apart: ``random:SEED``, a file, a folder, or a published name.

    Raises:
        WeightsError: made-up weights without a seed.
        WeightsUnavailableError: a path at which there is nothing.
    """
    if text == "random" or text.startswith("random:"):
        seed = text.partition(":")[2]
        if not re.fullmatch(r"\d{1,18}", seed):
            raise WeightsError(f"weights {text!r} need a seed, a whole number from 0 on: type random:0")
        return WeightsSource(kind="random", text=text, seed=int(seed))
    path = Path(text).expanduser()
    if text and path.is_dir():
        return WeightsSource(kind="folder", text=text)
    if text and path.exists():
        return WeightsSource(kind="file", text=text)
    if not text or text.startswith(("/", "./", "../", "~")) or text.endswith(FILE_SUFFIXES):
        raise WeightsUnavailableError(f"weights {text!r}: there is no such file or folder")
    return WeightsSource(kind="name", text=text)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw made-up weights from a seed, and leave torch's generators as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """The identity of weights: SHA-256 over name, dtype, shape and bytes of each tensor, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def one_line(error: BaseException) -> str:
    """The first sentence of what an error of another library says, short enough for a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def list_names(names: Sequence[str], limit: int = 6) -> str:
    """``a, b, c and 9 more``."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
