"""Pictures that are scaled as they are decoded: one definition, whatever the decoder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F

from fouls.errors import ConfigError, VideoError
from fouls.video.decoders import candidates, open_video
from fouls.video.scaling import scaled_size
from fouls.video.torchcodec_reader import TorchcodecReader
from fouls.video.types import Frame
from tests.media import numbered_frames, write_video

needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this machine")


def read(path: Path, decoder: str, short_side: int | None, indices: list[int]) -> list[Frame]:
    with open_video(str(path), decoder, short_side) as reader:
        return list(reader.read(np.array(indices)))


def test_the_short_side_gets_the_size_and_the_long_one_is_rounded_down() -> None:
    assert scaled_size(1920, 1080, 256) == (455, 256)  # 455.1
    assert scaled_size(1080, 1920, 256) == (256, 455)
    assert scaled_size(426, 240, 224) == (397, 224)  # 397.6
    assert scaled_size(500, 500, 224) == (224, 224)
    for small in [(320, 240), (240, 320), (256, 256), (2000, 256)]:
        assert scaled_size(*small, 256) == small
    assert scaled_size(1920, 1080, None) == (1920, 1080)


def colourful(num_frames: int, height: int, width: int) -> list[Frame]:
    """Colour noise, a random colour every eight pixels and bilinear between."""
    noise = torch.randint(0, 256, (num_frames, 3, height // 8, width // 8), generator=torch.Generator().manual_seed(0))
    frames = F.resize(noise.to(torch.uint8), [height, width], antialias=True)
    return [frame.permute(1, 2, 0).contiguous().numpy() for frame in frames]


def test_scaling_is_a_weighted_mean_of_what_a_pixel_covers(tmp_path: Path) -> None:
    """Nearly torchvision's resize with antialias, where chroma has the size of luma."""
    path = write_video(tmp_path / "v.mp4", colourful(3, 192, 256), pix_fmt="yuv444p")
    whole = torch.from_numpy(np.stack(read(path, "pyav", None, [0, 2]))).permute(0, 3, 1, 2)
    expected = F.resize(whole, [80, 106], antialias=True).permute(0, 2, 3, 1).numpy()
    scaled = np.stack(read(path, "pyav", 80, [0, 2]))
    assert scaled.shape == (2, 80, 106, 3)
    difference = np.abs(scaled.astype(np.int16) - expected)
    assert difference.mean() < 1.5
    assert difference.max() <= 16


@needs_decord
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p"])
@pytest.mark.parametrize("short_side", [37, 96, 191])
def test_decord_and_pyav_scale_alike_bit_by_bit(tmp_path: Path, pix_fmt: str, short_side: int) -> None:
    path = write_video(tmp_path / "v.mp4", colourful(3, 192, 258), pix_fmt=pix_fmt)
    ours, theirs = (read(path, decoder, short_side, [0, 1, 2]) for decoder in ("pyav", "decord"))
    np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))


@needs_decord
@pytest.mark.parametrize("name", ["bt709.mp4", "nasa.mp4", "carving_ice.mp4", "pancake.mkv"])
def test_decord_and_pyav_scale_real_clips_alike(name: str, shared: Path) -> None:
    ours, theirs = (read(shared / "videos" / name, decoder, 224, [0, 13, 29]) for decoder in ("pyav", "decord"))
    assert min(ours[0].shape[:2]) == 224
    np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))


@pytest.mark.parametrize("decoder", ["pyav", pytest.param("decord", marks=needs_decord)])
def test_small_pictures_are_not_enlarged(decoder: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(3))
    for short_side in (64, 65, 400):
        np.testing.assert_array_equal(read(path, decoder, short_side, [0, 2]), read(path, decoder, None, [0, 2]))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_pictures_are_scaled_before_they_are_turned(rotation: int, tmp_path: Path) -> None:
    frames = colourful(2, 96, 128)
    stored = write_video(tmp_path / "stored.mp4", frames)
    turned = write_video(tmp_path / "turned.mp4", frames, rotation=rotation)
    expected = [np.rot90(frame, rotation // 90) for frame in read(stored, "pyav", 48, [0, 1])]
    np.testing.assert_array_equal(read(turned, "pyav", 48, [0, 1]), expected)
    with open_video(str(turned), "auto", 48) as reader:
        assert reader.decoder == "pyav"
        assert (reader.info.width, reader.info.height) == ((128, 96) if rotation == 180 else (96, 128))
    if find_spec("decord"):
        with pytest.raises(VideoError, match="decord scales turned pictures in another way"):
            open_video(str(turned), "decord", 48)
        read(turned, "decord", 96, [0])  # as large as it is


def test_torchcodec_does_not_scale() -> None:
    with pytest.raises(
        ConfigError, match=r"'torchcodec' has other pixels .* \(--decode-resize 224\): use --decoder auto"
    ):
        candidates("torchcodec", 224)
    assert candidates("torchcodec") == ("torchcodec",)
    assert candidates("auto", 224) == candidates("auto")
    with pytest.raises(ValueError, match="torchcodec is to scale to 224"):
        TorchcodecReader("v.mp4", 224)
