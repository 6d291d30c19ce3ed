"""What decord's FFmpeg complains of: the only sign that it has made up what damage took from a picture.

decord asks its FFmpeg to paint over damage and hands out what comes of it; in damaged AVI that may be memory which
nobody has written, other pictures in each run. FFmpeg says so in its log, and in no other place.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
from functools import cache
from pathlib import Path

ERROR_LEVEL = 16
"""``AV_LOG_ERROR``; what is less grave has a greater number."""

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Complaints:
    """Counts FFmpeg's errors, and keeps the last. They come from decord's threads, before the frames they are about."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self._callback = _Callback(self._hear)  # FFmpeg has it, Python must keep it

    def listen_to(self, avutil: ctypes.CDLL) -> None:
        """Take the log from a library, until this process ends."""
        avutil.av_log_set_callback(self._callback)
        atexit.register(avutil.av_log_set_callback, avutil.av_log_default_callback)

    def _hear(self, _context: int, level: int, template: bytes, _arguments: int) -> None:
        if level <= ERROR_LEVEL:
            self.count += 1
            self.last = template.decode(errors="replace").partition("%")[0].strip(" \n:,(")


@cache
def complaints() -> Complaints | None:
    """What is heard from decord's FFmpeg in this process; decord must be loaded. ``None``: it can't be listened to."""
    library = _avutil()
    if library is None:
        return None
    heard = Complaints()
    heard.listen_to(ctypes.CDLL(library))
    return heard


def _avutil() -> str | None:
    """The library that decord has loaded; PyAV brings another."""
    if sys.platform != "linux":
        return None
    places = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    found = [
        place for place in places if Path(place).name.startswith("libavutil") and "decord" in Path(place).parent.name
    ]
    return found[0] if len(found) == 1 else None
