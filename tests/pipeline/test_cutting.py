"""Decoded, cropped and resized: against torchvision on the frames that the decoder gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

from fouls.cache.spec import AugmentationSpec, PreprocessingSpec, SamplingSpec, Spec
from fouls.errors import VideoError
from fouls.pipeline.augmentation import ClipKey, random_view
from fouls.pipeline.decoding import decode, decode_together
from fouls.pipeline.jobs import ClipJob, VideoFile, VideoJob
from fouls.video.decoders import open_video
from tests.cache.conftest import make_spec
from tests.media import frame_numbered_video

SIZE = 40
AUGMENTATION = AugmentationSpec(seed=3, scale=(0.2, 0.9), ratio=(0.5, 2.0), flip=0.5, jitter="none")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Decoding is meant for a process of its own, where it takes one thread."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return frame_numbered_video(tmp_path_factory.mktemp("cutting") / "v.mp4", 30, width=96, height=64)


def make(interpolation: str = "bilinear", *, antialias: bool = True, num_crops: int = 1) -> Spec:
    preprocessing = PreprocessingSpec(
        resize_to=48,
        crop=SIZE,
        interpolation=interpolation,  # type: ignore[arg-type]
        antialias=antialias,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    sampling = SamplingSpec(kind="views", num_frames=3, frame_stride=1, num_crops=num_crops)
    return make_spec(preprocessing=preprocessing, sampling=sampling, augmentation=AUGMENTATION)


def job(video: Path, *clips: ClipJob) -> VideoJob:
    file = VideoFile(video_id="v", path=str(video), size_bytes=None, modified_ns=None, content_hash="ab")
    return VideoJob(file=file, clips=clips)


def clip(row: int, indices: list[int], *, crop: int = 0, augment: int = 0) -> ClipJob:
    key = ClipKey(content="ab", segment=(None, None), clip=0, augment=augment) if augment else None
    return ClipJob(row=row, crop=crop, indices=np.array(indices, dtype=np.int32), key=key)


def frames_of(video: Path, indices: list[int]) -> torch.Tensor:
    """(T, 3, H, W) uint8."""
    unique = np.unique(indices)
    with open_video(str(video)) as reader:
        read = dict(zip(unique.tolist(), reader.read(unique), strict=True))
    return torch.from_numpy(np.stack([read[index] for index in indices])).permute(0, 3, 1, 2)


def by_torchvision(frames: torch.Tensor, spec: Spec, key: ClipKey) -> npt.NDArray[np.uint8]:
    """Crop, resize, mirror; (T, S, S, 3)."""
    (top, left, height, width), mirrored = random_view(64, 96, AUGMENTATION, key)
    mode = InterpolationMode(spec.preprocessing.interpolation)
    antialias = spec.preprocessing.antialias
    # Without antialias torchvision's presets resize in float and round.
    values = frames if antialias else frames.float()
    picture = F.resized_crop(values, top, left, height, width, [SIZE, SIZE], mode, antialias=antialias)
    picture = picture if antialias else picture.clamp(0, 255).round().to(torch.uint8)
    picture = F.horizontal_flip(picture) if mirrored else picture
    return picture.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("interpolation", "antialias"), [("bilinear", True), ("bicubic", True), ("bilinear", False)])
def test_an_augmented_clip_is_a_resized_crop_of_every_frame(video: Path, interpolation: str, antialias: bool) -> None:
    spec = make(interpolation, antialias=antialias)
    clips = [clip(augment, [2, 9, 9], augment=augment) for augment in range(1, 9)]
    decoded = decode(job(video, *clips), spec, "auto")
    mirrors = set()
    for each in clips:
        assert each.key is not None
        expected = by_torchvision(frames_of(video, [2, 9, 9]), spec, each.key)
        np.testing.assert_array_equal(decoded.clip(each), expected)
        mirrors.add(random_view(64, 96, AUGMENTATION, each.key)[1])
    assert mirrors == {False, True}


def test_plain_and_augmented_clips_share_one_decode_and_do_not_change_each_other(video: Path) -> None:
    spec = make(num_crops=3)
    plain = [clip(crop, [0, 5, 10], crop=crop) for crop in range(3)]
    augmented = [clip(2 + augment, [augment, 5, 20 + augment], augment=augment) for augment in (1, 2)]
    together = decode(job(video, *plain, *augmented), spec, "auto")
    apart = decode(job(video, *plain), replace(spec, augmentation=None), "auto")
    for each in plain:
        np.testing.assert_array_equal(together.clip(each), apart.clip(each))
    for each in augmented:
        assert each.key is not None
        expected = by_torchvision(frames_of(video, each.indices.tolist()), spec, each.key)
        np.testing.assert_array_equal(together.clip(each), expected)
    assert sum(len(pictures.frames) for pictures in together.pictures.values()) == 3 * 3 + 2 * 3


def test_crops_of_plain_clips_hold_each_frame_once(video: Path) -> None:
    spec = make(num_crops=3)
    clips = [clip(0, [0, 5, 10], crop=0), clip(1, [5, 10, 15], crop=0), clip(2, [0, 5, 10], crop=2)]
    decoded = decode(job(video, *clips), spec, "auto")
    assert {cut: pictures.frames.tolist() for cut, pictures in decoded.pictures.items()} == {
        0: [0, 5, 10, 15],
        2: [0, 5, 10, 15],
    }
    np.testing.assert_array_equal(decoded.clip(clips[0])[1:], decoded.clip(clips[1])[:2])
    assert decoded.clip(clips[0]).shape == (3, SIZE, SIZE, 3)
    resized = F.resize(frames_of(video, [0, 5, 10]), [48, 72], antialias=True)
    np.testing.assert_array_equal(decoded.clip(clips[0]), resized[:, :, 4:44, :40].permute(0, 2, 3, 1).numpy())


def test_two_backbones_get_from_one_decode_what_each_gets_alone(video: Path) -> None:
    one, other = make(), make("bicubic")
    jobs = [
        (job(video, clip(0, [2, 9, 20]), clip(1, [1, 2, 3], augment=1)), one),
        (job(video, clip(0, [3, 9, 25])), other),
    ]
    together = decode_together(jobs, "auto")
    for (wanted, spec), decoded in zip(jobs, together, strict=True):
        alone = decode(wanted, spec, "auto")
        assert decoded.decoder == alone.decoder
        assert decoded.pictures.keys() == alone.pictures.keys()
        for each in wanted.clips:
            np.testing.assert_array_equal(decoded.clip(each), alone.clip(each))
    assert together[0].read_seconds == together[1].read_seconds


def test_jobs_of_one_spec_share_each_picture(video: Path) -> None:
    """Two blocks of windows that overlap: what both need is cut once."""
    spec = make(num_crops=3)
    first = job(video, clip(0, [0, 1, 2]), clip(1, [1, 2, 3], crop=2))
    second = job(video, clip(2, [2, 3, 4]), clip(3, [3, 4, 5], augment=1))
    together = decode_together([(first, spec), (second, spec)], "auto")
    assert together[0].pictures is together[1].pictures
    assert {cut: pictures.frames.tolist() for cut, pictures in together[0].pictures.items()} == {
        0: [0, 1, 2, 3, 4],
        2: [0, 1, 2, 3, 4],
        second.clips[1].cut: [3, 4, 5],
    }
    for wanted, decoded in zip((first, second), together, strict=True):
        alone = decode(wanted, spec, "auto")
        for each in wanted.clips:
            np.testing.assert_array_equal(decoded.clip(each), alone.clip(each))


def break_from_last_key_frame(path: Path) -> None:
    """Tear a video behind its last key frame; decoders that read ahead notice some frames before."""
    with av.open(path) as container:
        *_, start = [packet.pos + packet.size for packet in container.demux(video=0) if packet.is_keyframe]
    data = bytearray(path.read_bytes())
    stop = data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.unlink()
    path.write_bytes(data)


def test_a_frame_that_cannot_be_decoded_ends_the_common_try(tmp_path: Path) -> None:
    video = frame_numbered_video(tmp_path / "v.mp4", 60)
    break_from_last_key_frame(video)
    whole, torn = (job(video, clip(0, [0, 1, 2])), make()), (job(video, clip(0, [3, 9, 55])), make())
    with pytest.raises(VideoError) as together:
        decode_together([whole, torn], "auto")
    with pytest.raises(VideoError) as alone:
        decode(*torn, "auto")
    assert together.value.decoder == alone.value.decoder == "pyav"
    assert decode(*whole, "pyav").clip(whole[0].clips[0]).shape == (3, SIZE, SIZE, 3)
