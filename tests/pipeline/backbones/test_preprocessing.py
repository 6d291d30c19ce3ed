from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.video import MViT_V2_S_Weights, Swin3D_B_Weights
from torchvision.transforms import functional
from transformers import VideoMAEImageProcessor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError
from fouls.pipeline.backbones.preprocessing import crop_corner, normalise, resize_and_crop, resized_size
from fouls.pipeline.backbones.torchvision_nets import preset
from fouls.pipeline.backbones.videomae import default_preprocessing
from tests.pipeline.backbones.checkpoints import HUB_PROCESSOR

HUB = default_preprocessing(224)
TORCHVISION = preset(MViT_V2_S_Weights)
SIZES = [(224, 224), (256, 256), (240, 320), (321, 241), (299, 225), (225, 301), (37, 53), (53, 37), (1, 1), (2, 9)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


def as_hub(**changes) -> PreprocessingSpec:
    return PreprocessingSpec(
        **{"resize_to": 8, "crop": 8, "antialias": True, "mean": (0, 0, 0), "std": (1, 1, 1)} | changes
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_processor_of_transformers_bit_for_bit(height, width):
    frames = noise(2, height, width)
    processor = VideoMAEImageProcessor(**HUB_PROCESSOR)
    output = processor(list(frames), return_tensors="pt", input_data_format="channels_last")
    expected = output["pixel_values"]  # (1, T, 3, 224, 224)
    ours = normalise(resize_and_crop(frames, HUB), HUB)
    assert ours.shape == (1, 3, 2, 224, 224)
    assert torch.equal(ours, expected.transpose(1, 2))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_video_presets_of_torchvision(height, width):
    frames = noise(2, height, width)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    pictures = functional.center_crop(functional.resize(images, [256], antialias=False), [224, 224])
    ours = resize_and_crop(frames, TORCHVISION)
    assert torch.equal(ours[0].permute(0, 3, 1, 2), pictures)
    # The preset divides by 255 first and then by std, in fp32: a few units in the last place of values up to 2.3.
    expected = MViT_V2_S_Weights.KINETICS400_V1.transforms()(images)
    torch.testing.assert_close(normalise(ours, TORCHVISION)[0], expected, atol=5e-7, rtol=0)


def test_presets_are_those_of_the_facts():
    assert (TORCHVISION.resize_to, TORCHVISION.crop, TORCHVISION.antialias) == (256, 224, False)
    assert TORCHVISION.mean == (0.45, 0.45, 0.45)
    assert TORCHVISION.std == (0.225, 0.225, 0.225)
    assert preset(Swin3D_B_Weights).mean == HUB.mean == (0.485, 0.456, 0.406)
    assert preset(Swin3D_B_Weights).std == HUB.std == (0.229, 0.224, 0.225)


def test_long_side_is_rounded_down():
    assert resized_size(37, 53, HUB) == (224, 320)  # 320.86
    assert resized_size(53, 37, HUB) == (320, 224)
    assert resized_size(53, 37, as_hub(resize="stretch")) == (8, 8)
    assert resized_size(53, 37, as_hub(resize="stretch", resize_width=11)) == (8, 11)


def test_three_crops_lie_along_the_longer_side():
    wide = [crop_corner(8, 13, crop, 3, as_hub()) for crop in range(3)]
    tall = [crop_corner(13, 8, crop, 3, as_hub()) for crop in range(3)]
    assert wide == [(0, 0), (0, 2), (0, 5)]
    assert tall == [(0, 0), (2, 0), (5, 0)]
    smaller = as_hub(resize_to=12)
    assert [crop_corner(12, 20, crop, 3, smaller) for crop in range(3)] == [(2, 0), (2, 6), (2, 12)]
    assert [crop_corner(12, 12, crop, 3, smaller) for crop in range(3)] == [(2, 0), (2, 2), (2, 4)]


def test_odd_pixel_around_the_centre():
    assert crop_corner(11, 8, 0, 1, as_hub()) == (1, 0)
    assert crop_corner(11, 8, 0, 1, as_hub(antialias=False)) == (2, 0)  # round(1.5)
    assert crop_corner(13, 8, 0, 1, as_hub(antialias=False)) == (2, 0)  # round(2.5)
    assert crop_corner(11, 8, 0, 1, as_hub(crop_rounding="even")) == (2, 0)
    assert crop_corner(11, 8, 0, 1, as_hub(antialias=False, crop_rounding="down")) == (1, 0)


def test_crops_are_parts_of_the_resized_frame():
    frames = noise(3, 8, 13)  # no resize: the short side has the size already
    crops = resize_and_crop(frames, as_hub(), crops=(2, 0), num_crops=3)
    assert crops.dtype == torch.uint8
    assert crops.shape == (2, 3, 8, 8, 3)
    assert np.array_equal(crops[0].numpy(), frames[:, :, 5:])
    assert np.array_equal(crops[1].numpy(), frames[:, :, :8])
    assert torch.equal(resize_and_crop(torch.from_numpy(frames), as_hub())[0], torch.from_numpy(frames[:, :, 2:10]))


def test_read_only_and_strided_frames():
    frames = noise(2, 20, 30)[:, ::2, ::-1]
    expected = resize_and_crop(frames.copy(), HUB)
    frozen = frames.copy()
    frozen.flags.writeable = False
    assert torch.equal(resize_and_crop(frozen, HUB), expected)
    assert torch.equal(resize_and_crop(frames, HUB), expected)


def test_normalise_does_its_arithmetic_in_fp32():
    batch = torch.from_numpy(noise(2, 3, 8, 8))
    spec = as_hub(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    exact = normalise(batch, spec)
    scaled = (batch.double() / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    torch.testing.assert_close(exact, scaled.permute(0, 4, 1, 2, 3).float(), atol=1e-6, rtol=0)
    assert torch.equal(normalise(batch, spec, torch.bfloat16), exact.bfloat16())
    assert normalise(batch, spec).is_contiguous()


@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 8, 8, 4), (0, 8, 8, 3), (2, 0, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(BackboneError, match=r"must be \(T, H, W, 3\)"):
        resize_and_crop(np.zeros(shape, dtype=np.uint8), HUB)


def test_other_dtypes_and_crops_are_refused():
    with pytest.raises(BackboneError, match="float32; they must be uint8"):
        resize_and_crop(np.zeros((2, 8, 8, 3), dtype=np.float32), HUB)
    with pytest.raises(BackboneError, match=r"torch.float32; they must be torch.uint8"):
        resize_and_crop(torch.zeros((2, 8, 8, 3)), HUB)
    with pytest.raises(BackboneError, match=r"crops \[1\] of 1"):
        resize_and_crop(noise(2, 8, 8), HUB, crops=[1])
    with pytest.raises(BackboneError, match=r"crops \[0\] of 2"):
        resize_and_crop(noise(2, 8, 8), HUB, num_crops=2)
