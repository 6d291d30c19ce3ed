"""A hub out of reach, and its cache on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a hub at an address where nobody listens."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub_cache"


def put(cache: Path, hub_id: str, folder: Path) -> None:
    """Fill the cache as the hub's own client does."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    shutil.copytree(folder, repository / "snapshots" / "0123abc")
