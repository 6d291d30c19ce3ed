from __future__ import annotations

import importlib
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fouls.pipeline.backbones import backbone as backbone_module
from fouls.pipeline.backbones import packed_linear
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.packed_linear import FOLLOWED_BY, PackedLinear, pack_linears, packing_pays
from tests.pipeline.backbones.reduced import reduce

CPU = torch.device("cpu")
needs_packing = pytest.mark.skipif(
    not packing_pays(CPU, torch.bfloat16), reason="this CPU does not multiply bf16 natively"
)


def values(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).bfloat16()


def linear(inputs, outputs, *, bias=True, seed=1):
    layer = nn.Linear(inputs, outputs, bias=bias).bfloat16().requires_grad_(False)
    layer.weight.copy_(values(outputs, inputs, seed=seed) / math.sqrt(inputs))
    if bias:
        layer.bias.copy_(values(outputs, seed=seed + 1))
    return layer


def exact(layer, x, *, gelu):
    """By hand, in numpy and fp64."""
    result = x.double().numpy() @ layer.weight.double().numpy().T
    if layer.bias is not None:
        result = result + layer.bias.double().numpy()
    if gelu:
        result = 0.5 * result * (1 + np.vectorize(math.erf)(result / math.sqrt(2)))
    return torch.from_numpy(result)


@needs_packing
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(40,), (1, 40), (3, 17, 40)], ids=str)
def test_it_is_the_product_rounded_once(shape, bias, gelu):
    layer, x = linear(40, 72, bias=bias), values(*shape)
    ours = PackedLinear(layer, gelu=gelu)(x)
    assert ours.shape == (*shape[:-1], 72)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), exact(layer, x, gelu=gelu), rtol=2**-8, atol=1e-5)


@needs_packing
def test_what_lies_otherwise_in_memory_is_read_right():
    layer, x = linear(40, 72), values(5, 40, 3)
    ours = PackedLinear(layer)(x.mT)
    torch.testing.assert_close(ours.double(), exact(layer, x.mT, gelu=False), rtol=2**-8, atol=1e-5)


@needs_packing
def test_weights_and_the_state_dict_stay_those_of_the_layer():
    net = nn.Sequential(nn.Sequential(linear(40, 72), nn.GELU(), linear(72, 10, bias=False)))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    pack_linears(net)
    assert isinstance(net[0][0], PackedLinear)
    assert not list(net.parameters())  # those that were packed are held nowhere else
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert torch.equal(net[0][0].weight, before["0.0.weight"])
    assert repr(net[0][0]) == "PackedLinear(in_features=40, out_features=72, gelu=True)"


@needs_packing
@pytest.mark.parametrize(
    ("activation", "fused"),
    [(nn.GELU(), True), (nn.GELU(approximate="tanh"), False), (nn.ReLU(), False), (nn.Identity(), False)],
    ids=str,
)
def test_only_the_exact_gelu_goes_into_the_product(activation, fused):
    net = nn.Sequential(linear(40, 72), activation, nn.Dropout(), linear(72, 10)).eval()
    x = values(6, 40)
    wanted = net.double()(x.double())
    pack_linears(net.bfloat16())
    assert [layer.gelu for layer in net if isinstance(layer, PackedLinear)] == [fused, False]
    assert isinstance(net[1], nn.Identity) == (fused or isinstance(activation, nn.Identity))
    torch.testing.assert_close(net(x).double(), wanted, rtol=0, atol=2**-6)


class Special(nn.Linear):
    pass


@needs_packing
def test_subclasses_and_unknown_orders_are_left_alone():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.activation_fn, self.special = linear(8, 8), nn.GELU(), Special(8, 8)

    net = Gated()
    pack_linears(net)
    assert type(net.special) is Special
    assert isinstance(net.fc1, PackedLinear)
    assert not net.fc1.gelu
    assert isinstance(net.activation_fn, nn.GELU)


@needs_packing
@pytest.mark.parametrize("name", FOLLOWED_BY)
def test_classes_of_transformers_compute_what_they_did(name):
    """That the activation follows the layer is transformers' code: here its own forward pass says so."""
    family = re.sub("(Intermediate|MLP)$", "", name).lower()
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    config = SimpleNamespace(
        hidden_size=24, intermediate_size=48, mlp_ratio=2, hidden_act="gelu", hidden_dropout_prob=0.0
    )
    own = {"hidden_size": 24} if name == "VJEPA2MLP" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = getattr(module, name)(config, **own).eval().requires_grad_(False).bfloat16()
    x = values(2, 7, 24)
    wanted = net.double()(x.double())
    pack_linears(net.bfloat16())
    first, activation = FOLLOWED_BY[name]
    assert getattr(net, first).gelu
    assert isinstance(getattr(net, activation), nn.Identity)
    torch.testing.assert_close(net(x).double(), wanted, rtol=2**-6, atol=2**-8)


def count_packed(backbone: Backbone) -> int:
    return sum(isinstance(module, PackedLinear) for module in backbone._net.module.modules())


@needs_packing
@pytest.mark.parametrize(
    "name", ["videomae", "dinov2_s", "vit", "vjepa2", "videoprism_b", "mvit_v2_s", "swin3d_t", "r3d_18"]
)
def test_backbones_come_as_near_to_fp32_as_with_plain_layers(name, monkeypatch):
    num_frames = reduce(name, monkeypatch)
    found = {}
    for kind, precision, pays in [("exact", "fp32", True), ("packed", "bf16", True), ("plain", "bf16", False)]:
        if not pays:
            monkeypatch.setattr(backbone_module, "packing_pays", lambda *_: False)
        backbone = load_backbone(name, weights="random:0", num_frames=num_frames, precision=precision)
        size = backbone.preprocessing.crop
        clips = values(2, 3, backbone.num_frames, size, size)
        found[kind] = backbone, backbone.features(clips)[backbone.default_pool].double()
    (exact_net, wanted), (packed, ours), (plain, theirs) = found.values()
    assert count_packed(exact_net) == count_packed(plain) == 0
    assert (count_packed(packed) > 0) == (name != "r3d_18")  # which has convolutions and nothing else
    assert packed.weights == plain.weights == exact_net.weights
    assert packed.num_parameters == plain.num_parameters == exact_net.num_parameters
    assert (ours - wanted).norm() <= 1.2 * (theirs - wanted).norm()
    assert F.cosine_similarity(ours, wanted).min() > 0.999


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_packing_pays_in_bf16_where_the_cpu_and_torch_can(monkeypatch, native, there):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    monkeypatch.setattr(packed_linear, "_can_pack", lambda: there)
    assert packing_pays(CPU, torch.bfloat16) == (native and there)
    assert not packing_pays(CPU, torch.float32)
    assert not packing_pays(CPU, torch.float16)
    assert not packing_pays(torch.device("cuda", 0), torch.bfloat16)


class Missing:
    def __init__(self, *_, **__):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_reorder_linear_weight'")


class Refusing(Missing):
    def __init__(self, *_, **__):
        raise RuntimeError("could not create a primitive descriptor")


class Wrong(nn.Module):
    def __init__(self, linear, *, gelu=False):
        super().__init__()
        self.linear = linear

    def forward(self, x):
        return self.linear(x)  # never a GELU


@pytest.mark.parametrize("broken", [Missing, Refusing, Wrong])
def test_operators_that_are_missing_or_wrong_are_not_used(monkeypatch, broken):
    monkeypatch.setattr(packed_linear, "PackedLinear", broken)
    assert not packed_linear._can_pack.__wrapped__()


@needs_packing
def test_what_is_compiled_is_not_packed(monkeypatch):
    num_frames = reduce("vit", monkeypatch)
    assert (
        count_packed(load_backbone("vit", weights="random:0", num_frames=num_frames, precision="bf16", compile=True))
        == 0
    )
