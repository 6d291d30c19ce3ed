"""What processors of transformers do, followed from what they save."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from fouls.pipeline.backbones.preprocessing import normalise, resize_and_crop
from fouls.pipeline.backbones.processors import parse_preprocessing, read_preprocessing
from fouls.pipeline.backbones.weights import WeightsSource

SIZES = [(90, 122), (123, 90), (64, 64), (37, 201)]


def saved(processor, folder):
    """The JSON of a processor as transformers writes it."""
    (path,) = map(str, processor.save_pretrained(folder))
    with open(path) as file:
        return json.load(file)


def run(processor, frames):
    """(T, H, W, 3) → (3, T, S, S), by the processor itself."""
    if "Video" in type(processor).__name__ and "Image" not in type(processor).__name__:
        output = processor(torch.from_numpy(frames).permute(0, 3, 1, 2), return_tensors="pt")
    else:
        output = processor(list(frames), return_tensors="pt", input_data_format="channels_last")
    (values,) = output.values()
    return values.reshape(-1, *values.shape[-3:]).transpose(0, 1)


PROCESSORS = {
    "BitImageProcessor": {
        "size": {"shortest_edge": 73},
        "crop_size": {"height": 64, "width": 64},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "ViTImageProcessor": {"size": {"height": 64, "width": 64}},
    "VJEPA2VideoProcessor": {"crop_size": {"height": 64, "width": 64}},
    "LlavaOnevisionVideoProcessor": {"size": {"height": 72, "width": 72}, "do_normalize": False},
    "TimesformerVideoProcessor": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
    "VideoMAEVideoProcessor": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
    "VivitVideoProcessor": {"size": {"shortest_edge": 73}, "crop_size": {"height": 64, "width": 64}},
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", SIZES)
def test_equal_to_processors_that_torchvision_runs(name, size, tmp_path):
    processor = getattr(transformers, name)(**PROCESSORS[name])
    spec = parse_preprocessing(saved(processor, tmp_path))
    frames = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    ours = normalise(resize_and_crop(frames, spec), spec)[0]
    theirs = run(processor, frames)
    assert ours.shape == theirs.shape
    # These two multiply by the factor, and only then subtract and divide, if at all: that rounds differently in fp32.
    tolerance = {"VivitVideoProcessor": 5e-7, "LlavaOnevisionVideoProcessor": 6e-8}.get(name, 0)
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def test_equal_to_a_processor_that_pil_runs(tmp_path):
    processor = transformers.VivitImageProcessor(
        size={"shortest_edge": 73}, crop_size={"height": 64, "width": 64}, offset=True
    )
    spec = parse_preprocessing(saved(processor, tmp_path))
    assert spec.mean == (1.5, 1.5, 1.5)
    frames = np.random.default_rng(0).integers(0, 256, (2, 90, 122, 3), dtype=np.uint8)
    ours = normalise(resize_and_crop(frames, spec), spec)[0]
    level = spec.scale / spec.std[0]  # PIL rounds its filter's weights otherwise: one level of 256
    assert (ours - run(processor, frames)).abs().max() <= 1.01 * level


def test_sizes_as_one_number():
    old = {"size": 64, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    stretched = parse_preprocessing(old)
    assert (stretched.resize, stretched.resize_to, stretched.crop) == ("stretch", 64, 64)
    cropped = parse_preprocessing(old | {"do_center_crop": True, "crop_size": 48})
    assert (cropped.resize, cropped.resize_to, cropped.crop) == ("short_side", 64, 48)


def test_one_number_for_all_colours():
    spec = parse_preprocessing({"size": 64, "image_mean": 0.5, "image_std": 0.25})
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_the_short_side_of_vjepa2_follows_from_its_crop():
    plain = {"video_processor_type": "VJEPA2VideoProcessor", "size": {"shortest_edge": 256}, "crop_size": 256}
    spec = parse_preprocessing(plain | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    assert (spec.resize_to, spec.crop) == (292, 256)


def test_the_video_processor_goes_before_the_image_processor(tmp_path):
    source = WeightsSource(kind="folder", text=str(tmp_path))
    assert read_preprocessing(tmp_path, source) is None
    for name, size in (("preprocessor_config.json", 32), ("video_preprocessor_config.json", 64)):
        plain = {"size": size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (tmp_path / name).write_text(json.dumps(plain))
    found = read_preprocessing(tmp_path, source)
    assert found is not None
    assert found.crop == 64
