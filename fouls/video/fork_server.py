"""What decoding processes are forked from."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing import forkserver

from fouls.video.isolation_worker import serve


def import_ahead(modules: Sequence[str]) -> None:
    """Have modules imported once, before any :class:`~fouls.video.isolation.IsolatedPool` needs them; returns at once.

    The fork server imports what the first pool needs and nothing afterwards: where a pool that needs little comes
    first, every process of the next one would import torch by itself. Without effect where the server runs already,
    or there is none (macOS, Windows).
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.set_forkserver_preload([*modules, serve.__module__])
        forkserver.ensure_running()
