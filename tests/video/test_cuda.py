"""Decoding on GPUs: how it is refused, what it falls back to, and the reader itself on a CPU where torchcodec is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fouls.errors import ConfigError, VideoError
from fouls.video.cuda_reader import CudaReader, check_cuda
from fouls.video.decoders import candidates, decoder_beside, open_video
from fouls.video.isolation import IsolatedPool
from fouls.video.trust import DistrustError
from tests.media import frame_numbered_video, read_frame_number
from tests.video import calls
from tests.video.test_decoders import torchcodec_works

needs_torchcodec = pytest.mark.skipif(not torchcodec_works(), reason="torchcodec, an extra, or its FFmpeg is missing")
without_a_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_the_decoder_is_on_the_gpu_of_the_backbone() -> None:
    assert decoder_beside("cuda", "cuda:1") == "cuda:1"
    assert decoder_beside("cuda", "cuda") == "cuda"
    assert decoder_beside("cuda", "cpu") == "cuda"
    assert decoder_beside("cuda:0", "cuda:1") == "cuda:0"
    assert decoder_beside("pyav", "cuda:1") == "pyav"


def test_it_does_not_scale() -> None:
    for decoder in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match="decoder 'cuda' has other pixels where it scales"):
            candidates(decoder, 256)


@without_a_gpu
def test_without_a_gpu_it_is_refused_before_anything_is_begun_and_in_a_decoding_process(tmp_path: Path) -> None:
    for decoder in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match=f"'{decoder}' needs a GPU of NVIDIA's, and torch can use none here: use"):
            check_cuda(decoder)
    path = str(frame_numbered_video(tmp_path / "v.mp4", 3))
    with (
        IsolatedPool(1, 60) as pool,
        pytest.raises(ConfigError, match=r"decoder 'cuda' can't use cuda:1 .*: use ") as e,
    ):
        pool.submit(open_video, path, "cuda:1").result()
    assert "\n" not in str(e.value)


def test_memory_is_not_bounded_while_cuda_is_used_and_bounded_as_before_afterwards() -> None:
    with IsolatedPool(1, 30, memory_bytes=2**28) as pool:
        first = pool.submit(calls.pid).result()
        assert pool.submit(calls.take_without_limit, 2**29).result() == 2**29
        assert pool.submit(calls.take, 2**27).result() == 2**27
        assert pool.submit(calls.keep_without_limit, 2**29).result() == 2**29  # as CUDA's context stays
        assert pool.submit(calls.take, 2**27).result() == 2**27
        assert pool.submit(calls.pid).result() == first
        with pytest.raises(VideoError, match=r"needed more than 0.25 GiB of memory and was stopped"):
            pool.submit(calls.take, 2**29).result()


@needs_torchcodec
def test_its_frames_are_those_of_torchcodec(tmp_path: Path) -> None:
    path = str(frame_numbered_video(tmp_path / "v.mp4", 60))
    numbers = np.array([0, 7, 8, 40, 59])
    with CudaReader(path, device="cpu") as reader, open_video(path, "torchcodec") as expected:
        assert reader.decoder == "cuda"
        assert reader.info == expected.info
        for number, frame, other in zip(numbers, reader.read(numbers), expected.read(numbers), strict=True):
            assert (frame.dtype, frame.shape) == (np.uint8, (64, 96, 3))
            assert read_frame_number(frame) == number
            np.testing.assert_array_equal(frame, other)
    turned = frame_numbered_video(tmp_path / "turned.mp4", 3, rotation=90)
    with pytest.raises(DistrustError, match="cuda is not relied on to turn pictures; --decoder pyav reads it"):
        CudaReader(str(turned), device="cpu")
    with pytest.raises(DistrustError, match="cuda loses frames in mpegts"):
        CudaReader(str(frame_numbered_video(tmp_path / "v.ts", 30)), device="cpu")


@needs_torchcodec
@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        ("_video_not_supported", DistrustError, "cuda does not take it .*Video not supported.*; --decoder pyav reads"),
        ("_nvcuvid_unavailable", ConfigError, "libnvcuvid is missing"),
    ],
)
def test_what_torchcodec_decodes_on_the_cpu_is_not_called_decoded_on_the_gpu(
    reason: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torchcodec's own words of what it has fallen back from."""
    from torchcodec.decoders import CpuFallbackStatus, VideoDecoder

    status = CpuFallbackStatus(status_known=True)
    status._is_fallback = True
    setattr(status, reason, True)
    monkeypatch.setattr(VideoDecoder, "cpu_fallback", status)
    path = str(frame_numbered_video(tmp_path / "v.mp4", 3))
    with pytest.raises(error, match=message):
        CudaReader(path, device="cpu")


@needs_torchcodec
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_frames_from_a_gpu(tmp_path: Path) -> None:
    path = str(frame_numbered_video(tmp_path / "v.mp4", 60, width=384, height=256))
    numbers = [0, 7, 8, 40, 59]
    with CudaReader(path) as reader:
        assert [read_frame_number(frame) for frame in reader.read(np.array(numbers))] == numbers
