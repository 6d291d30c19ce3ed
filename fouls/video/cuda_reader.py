"""``cuda``: the video decoder of an NVIDIA GPU (NVDEC), as torchcodec gives access to it."""

from __future__ import annotations

from contextlib import ExitStack

from fouls.errors import ConfigError, VideoError
from fouls.video.frame_index import index_of
from fouls.video.isolation_worker import without_memory_limit
from fouls.video.torchcodec_reader import TorchcodecReader, load_video_decoder, one_line
from fouls.video.trust import DistrustError

NO_NVCUVID = "NVcuvid unavailable"
"""In torchcodec's words of why it decodes on the CPU: the driver's library for decoding is not there."""
NO_CUDA_BUILD = "Unsupported device"
"""In torchcodec's words where it was built without CUDA."""


def check_cuda(device: str) -> None:
    """Check that a GPU can be asked to decode; whether it can decode a file, only the file shows.

    Args:
        device: ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: torch sees no such GPU, or torchcodec can't be loaded.
    """
    import torch

    count = torch.cuda.device_count()
    if (torch.device(device).index or 0) >= count:
        raise ConfigError(
            f"decoder {device!r} needs a GPU of NVIDIA's, and torch can use {count or 'none'} here: use --decoder auto"
        )
    load_video_decoder(CudaReader.decoder)


class CudaReader(TorchcodecReader):
    """Decodes on the GPU, and copies each frame from there. Files that NVDEC does not take are refused.

    torchcodec itself would decode those on the CPU. Here they are PyAV's, so that what is said to be decoded by the GPU
    is, and the others have the pictures that they have with ``auto``.

    Args:
        path: a file.
        short_side: must be ``None``, see :class:`TorchcodecReader`.
        device: ``cuda`` or ``cuda:1``.

    Raises:
        ValueError, VideoError: as :class:`TorchcodecReader`; ``unreadable`` also where NVDEC does not take the file.
        ConfigError: there is no such GPU, it can't be used, or torchcodec is not installed.
    """

    decoder = "cuda"

    def __init__(self, path: str, short_side: int | None = None, device: str = "cuda") -> None:
        self._open = ExitStack()
        index_of(path)  # takes a picture on the CPU, where the bound is kept
        with ExitStack() as opening:
            opening.enter_context(without_memory_limit())
            check_device(device)
            try:
                super().__init__(path, short_side, device)
            except VideoError as error:
                if NO_CUDA_BUILD in str(error):
                    raise ConfigError(
                        f"decoder 'cuda' can't be used: torchcodec is built without CUDA ({error}); use --decoder auto"
                    ) from None
                raise
            self._check_fallback()
            self._open = opening.pop_all()

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        self._open.close()

    def _check_fallback(self) -> None:
        """Refuse a file that torchcodec has begun to decode on the CPU."""
        status = self._reader.cpu_fallback
        if not status.status_known:  # some of its backends find out with the first frame
            self._first_frame()
            status = self._reader.cpu_fallback
        if NO_NVCUVID in str(status):
            raise ConfigError(
                "decoder 'cuda' can't be used: the driver's libnvcuvid is missing (a container needs the capability "
                "'video', NVIDIA_DRIVER_CAPABILITIES=compute,utility,video); or use --decoder auto"
            )
        if status:
            raise DistrustError(self.decoder, f"does not take it ({status})")

    def _first_frame(self) -> None:
        try:
            self._reader.get_frame_at(0)
        except Exception as error:  # it raises many things
            raise VideoError("decode_error", f"at frame 0: {one_line(error)}", decoder=self.decoder) from None


def check_device(device: str) -> None:
    """Begin to use a device in this process, or notice that it can't be used any more, which is not the file's fault.

    Raises:
        ConfigError: it can't.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except RuntimeError as error:
        raise ConfigError(f"decoder 'cuda' can't use {device} ({one_line(error)}): use --decoder auto") from None
