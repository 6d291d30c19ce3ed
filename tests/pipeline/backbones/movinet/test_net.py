from __future__ import annotations

import json

import pytest
import torch

from fouls.pipeline.backbones.movinet.configs import CONFIGS
from fouls.pipeline.backbones.movinet.net import MoViNet, StreamMoViNet
from tests.pipeline.backbones.movinet.nets import noise, tiny_base, tiny_stream

BASE = {
    "conv1.conv_1.conv3d.weight": (8, 3, 1, 3, 3),
    "conv1.conv_1.norm.running_var": (8,),
    "conv1.conv_1.norm.num_batches_tracked": (),
    "blocks.b0_l0.alpha": (),
    "blocks.b0_l0.res.1.conv_1.norm.bias": (8,),
    "blocks.b2_l0.expand.conv_1.conv3d.weight": (184, 32, 1, 1, 1),
    "blocks.b2_l0.deep.conv_1.conv3d.weight": (184, 1, 5, 3, 3),
    "blocks.b2_l0.se.fc1.conv_1.conv3d.bias": (48,),
    "blocks.b2_l0.se.fc2.conv_1.conv3d.weight": (184, 48, 1, 1, 1),
    "blocks.b2_l0.project.conv_1.conv3d.weight": (56, 184, 1, 1, 1),
    "conv7.conv_1.conv3d.weight": (480, 104, 1, 1, 1),
    "classifier.0.conv_1.conv3d.weight": (2048, 480, 1, 1, 1),
    "classifier.3.conv_1.conv3d.bias": (600,),
}
STREAM = {
    "conv1.conv_1.conv2d.weight": (8, 3, 3, 3),
    "blocks.b0_l0.alpha": (),
    "blocks.b2_l0.deep.conv_1.conv2d.weight": (184, 1, 3, 3),
    "blocks.b2_l0.deep.conv_2.conv2d.weight": (184, 1, 5, 1),
    "blocks.b2_l0.deep.conv_2.norm.running_mean": (184,),
    "blocks.b2_l0.se.fc1.conv_1.conv2d.weight": (96, 368, 1, 1),
    "blocks.b2_l0.res.1.conv_1.conv2d.weight": (56, 32, 1, 1),
    "conv7.conv_1.conv2d.weight": (480, 104, 1, 1),
    "classifier.3.conv_1.conv2d.weight": (600, 2048, 1, 1),
}


def shapes(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


@pytest.fixture(params=[MoViNet, StreamMoViNet])
def a0(request):
    with torch.device("meta"):
        return request.param(CONFIGS["a0"])


def test_names_and_shapes_of_a0(a0):
    ours, some = shapes(a0), BASE if isinstance(a0, MoViNet) else STREAM
    assert {name: ours.get(name) for name in some} == some
    assert len(ours) == (385 if isinstance(a0, MoViNet) else 451)


def test_names_and_shapes_are_those_of_the_published_files(a0, shared):
    kind = "base" if isinstance(a0, MoViNet) else "stream"
    published = json.loads((shared / "reference" / f"movinet_A0_{kind}_keys.json").read_text())
    assert shapes(a0) == {name: tuple(shape) for name, shape in published.items()}


def test_a_change_of_width_without_stride_has_its_own_shortcut():
    with torch.device("meta"):
        nets = {size: MoViNet(CONFIGS[size]) for size in ("a2", "a3", "a5")}
    key = "blocks.b3_l0.res.0.conv_1.conv3d.weight"
    assert {size: shapes(net).get(key) for size, net in nets.items()} == {
        "a2": None,
        "a3": (88, 80, 1, 1, 1),
        "a5": (120, 112, 1, 1, 1),
    }


@pytest.mark.parametrize("make", [tiny_base, tiny_stream])
@pytest.mark.parametrize(("height", "width"), [(26, 45), (33, 18)])
def test_non_square_input(make, height, width):
    """Turning the frames and the kernels by the diagonal turns nothing else: both sides are treated alike."""
    net, turned = make(), make()
    for parameter in turned.parameters():
        if parameter.ndim >= 4 and parameter.shape[-2] == parameter.shape[-1] > 1:
            parameter.copy_(parameter.transpose(-1, -2).contiguous())
    video = noise(2, 3, 4, height, width)
    features = net(video)
    assert features.shape == (2, 4, 32)
    torch.testing.assert_close(turned(video.transpose(-1, -2)), features, atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [tiny_base, tiny_stream])
def test_any_length_and_size(make):
    net = make()
    for shape in ((1, 1, 1), (1, 2, 3), (9, 16, 17)):
        features = net(noise(1, 3, *shape))
        assert features.shape == (1, shape[0], 32)
        assert features.isfinite().all()


@pytest.mark.parametrize("make", [tiny_base, tiny_stream])
def test_a_clip_does_not_depend_on_its_batch(make):
    net, videos = make(), noise(3, 3, 4, 26, 34)
    for index in range(3):
        torch.testing.assert_close(net(videos)[index], net(videos[index : index + 1])[0], atol=1e-6, rtol=0)


def test_input_is_left_as_it_is():
    for net in (tiny_base(), tiny_stream()):
        video = noise(1, 3, 4, 26, 34)
        before = video.clone()
        assert torch.equal(net(video), net(video))
        assert torch.equal(video, before)
