"""Every error that fouls raises on purpose, in one tree.

The message is one line: the value, what was allowed, and what to do. The command line prints it and exits with
the class's ``exit_code``; anything that is not a :class:`FoulsError` is a bug and shows a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class FoulsError(Exception):
    """The root: something the user can mend."""

    exit_code: ClassVar[int] = 2


class ConfigError(FoulsError):
    """An option, or a combination of options, that can't work."""


class ManifestError(FoulsError):
    """A manifest, or what one is built from, is not as it should be. Names file, row and column."""


class StoreError(FoulsError):
    """A store is missing, damaged, busy, or of a newer format."""


class DamagedStoreError(StoreError):
    """What lies in a store is not what was written there. Names the file, and the command that mends it."""


class SpecMismatchError(StoreError):
    """The store was made with another spec. Names the differing fields and the command that would work."""


class StorageError(FoulsError):
    """Object storage that can't be reached, has no such bucket, or refuses. Says nothing of what lies there."""


class ExportError(FoulsError):
    """Features that can't be handed on so: the format can't hold them, or the folder is not free."""


class BackboneError(FoulsError):
    """A backbone, pool or size that does not exist."""


class WeightsError(FoulsError):
    """Weights that can't be had, can't be read, or don't fit."""


class WeightsUnavailableError(WeightsError):
    """Weights that can't be had: out of reach, or not there. What ``--fallback`` is for."""


class ExecutorError(FoulsError):
    """Workers or devices that aren't there, or that keep dying."""


class RunError(FoulsError):
    """A run folder, or what a head is trained from, is not usable."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class VideoError(FoulsError):
    """One video can't be used. It costs its own rows and nothing else; the ledger keeps ``code`` and message.

    Attributes:
        code: the class of the error, one of :data:`VIDEO_ERROR_CODES`.
        decoder: the decoder that met it, where one did.
        last_good_frame: index of the last frame that was decoded, where one was.
    """

    def __init__(
        self, code: str, message: str, *, decoder: str | None = None, last_good_frame: int | None = None
    ) -> None:
        if code not in VIDEO_ERROR_CODES:
            raise ValueError(f"unknown class of video error {code!r}; known: {', '.join(VIDEO_ERROR_CODES)}")
        super().__init__(message)
        self.code = code
        self.decoder = decoder
        self.last_good_frame = last_good_frame

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles whole: it travels from the decoding processes."""
        return _rebuild_video_error, (self.code, str(self), self.decoder, self.last_good_frame)


def _rebuild_video_error(code: str, message: str, decoder: str | None, last_good_frame: int | None) -> VideoError:
    return VideoError(code, message, decoder=decoder, last_good_frame=last_good_frame)


VIDEO_ERROR_CODES = {
    "unreadable": "no such file, or not a media file that the decoders can open",
    "no_video_stream": "a media file without pictures",
    "decode_error": "opened, but frames that are needed can't be decoded",
    "timeout": "decoding took longer than --decode-timeout",
    "decoder_crashed": "the decoding process died on it",
    "too_short": "no frame at all where the sampling needs one",
    "unreachable": "its storage did not give it, however often it was asked",
    "changed": "the file is not the one that the manifest describes",
}
"""Class of error → what it means."""
