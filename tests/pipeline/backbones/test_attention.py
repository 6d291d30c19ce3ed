from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fouls.errors import BackboneError
from fouls.pipeline.backbones import attention
from fouls.pipeline.backbones.attention import Tiling, tiled_attention
from fouls.pipeline.backbones.backbone import _choose_attention
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import tiny_checkpoint
from tests.pipeline.backbones.reduced import reduce


def heads(*shape, dtype=torch.float32, seed=0):
    """Laid out as they come from a linear layer: (B, N, H, D), seen as (B, H, N, D)."""
    batch, count, rows, dim = shape
    values = np.random.default_rng(seed).standard_normal((batch, rows, count, dim))
    return torch.from_numpy(values).to(dtype).transpose(1, 2)


def exact(query, key, value, scale, bias=None):
    """By hand, in numpy and fp64."""
    q, k, v = (part.double().numpy() for part in (query, key, value))
    scores = scale * np.einsum("bhnd,bhmd->bhnm", q, k)
    if bias is not None:
        scores = scores + bias.double().numpy()
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return torch.from_numpy(np.einsum("bhnm,bhme->bhne", weights / weights.sum(-1, keepdims=True), v))


@pytest.mark.parametrize(
    "tile_bytes",
    [2**22, 3 * 2 * 70 * 90 * 4, 2 * 70 * 90 * 4 + 1, 70 * 90 * 4, 40 * 90 * 4, 1],
    ids=["all", "clips", "clip", "head", "rows", "least"],
)
@pytest.mark.parametrize("biased", [False, True])
def test_tiles_are_what_the_formula_says(monkeypatch, tile_bytes, biased):
    monkeypatch.setattr(attention, "TILE_BYTES", tile_bytes)
    query, key, value = heads(5, 2, 70, 8), heads(5, 2, 90, 8, seed=1), heads(5, 2, 90, 6, seed=2)
    bias = heads(5, 2, 70, 90, seed=3) if biased else torch.zeros(5, 2, 70, 90)

    def add_bias(scores, clips, some, rows):
        scores.add_(bias[clips, some, rows])

    ours = tiled_attention(query, key, value, scale=0.4, add_bias=add_bias if biased else None)
    assert ours.shape == (5, 2, 70, 6)
    torch.testing.assert_close(ours.double(), exact(query, key, value, 0.4, bias), atol=2e-6, rtol=0)


@pytest.mark.parametrize("rows", [1, 33, 197, 300])
@pytest.mark.parametrize(("spread", "offset"), [(1, 0), (6, 0), (3, 60)])
def test_bf16_deviates_little_more_than_torch_does(monkeypatch, rows, spread, offset):
    """torch keeps the scores in fp32; here they are rounded, and would be off by 2⁻⁹ of themselves without the shift.

    With an offset that all scores of a row share, or with scores that are spread, that would be several times what
    the rounding of queries and keys does. Both are measured against the exact result of the rounded inputs.
    """
    monkeypatch.setattr(attention, "TILE_BYTES", 150 * 300 * 2)
    query, key, value = (heads(2, 3, rows, 64, seed=seed) for seed in range(3))
    common = F.normalize(heads(1, 1, 1, 64, seed=3), dim=-1)
    rounded = [part.bfloat16() for part in (query + 3 * (offset > 0) * common, spread * key + offset * common, value)]
    wanted = exact(*rounded, 1 / 8)
    ours = tiled_attention(*rounded, scale=1 / 8)
    theirs = F.scaled_dot_product_attention(*rounded)
    assert ours.dtype == torch.bfloat16
    deviation, usual = ((one.double() - wanted).norm() / wanted.norm() for one in (ours, theirs))
    assert usual <= 2**-8  # the rounding of the weights and of the result
    assert deviation <= 2**-7


def test_large_scores_stay_finite():
    query, key, value = heads(1, 1, 4, 8) * 1e4, heads(1, 1, 5, 8) * 1e4, heads(1, 1, 5, 8)
    torch.testing.assert_close(
        tiled_attention(query, key, value, scale=1.0).double(), exact(query, key, value, 1.0), atol=1e-6, rtol=0
    )


def watch(monkeypatch):
    """Whether the sums of each tile would do, in a list that fills."""
    seen, by_sums = [], attention._by_sums
    monkeypatch.setattr(attention, "_by_sums", lambda *given: seen.append(by_sums(*given)) or seen[-1])
    return seen


@pytest.mark.parametrize("scale", [1 / 8, -1 / 8])
@pytest.mark.parametrize("above", [0, 20, 60, 200, 2000])
def test_scores_far_above_the_sample_are_right(monkeypatch, scale, above):
    """A key that is not looked at gives one row by far its largest score: 2 to the power of it may be too much."""
    monkeypatch.setattr(attention, "TILE_BYTES", 64 * 100 * 2)
    seen = watch(monkeypatch)
    query, key, value = (heads(1, 1, 100, 64, seed=seed).bfloat16() for seed in range(3))
    row, unseen = 70, 33
    assert unseen % attention.SAMPLE_STEP
    if above:
        key[0, 0, unseen] = query[0, 0, row] * (above / scale / query[0, 0, row].float().square().sum())
    ours = tiled_attention(query, key, value, scale=scale)
    wanted = exact(query, key, value, scale)
    assert (ours.double() - wanted).norm() <= 2**-7 * wanted.norm()
    torch.testing.assert_close(ours[0, 0, row].double(), wanted[0, 0, row], rtol=0, atol=2**-5)
    if above in (0, 20):
        assert seen == [True, True]
    elif above == 60:
        assert seen == [True, False]  # the row is in the second tile


def test_shifts_too_coarse_for_large_scores_are_noticed(monkeypatch):
    """Scores of a million are rounded to thousands, and so is what is taken from them."""
    seen = watch(monkeypatch)
    query, key, value = (heads(1, 1, 40, 8, seed=seed).bfloat16() for seed in range(3))
    ours = tiled_attention(query * 1000, key * 1000, value, scale=1.0)
    assert seen == [False]
    assert ours.isfinite().all()
    best = (query.float() @ key.float().mT).argmax(-1)
    hit = (ours == value[0, 0][best]).all(-1).float().mean()
    assert hit > 0.9


def test_nan_stays_nan():
    query, key, value = (heads(1, 1, 40, 8, seed=seed).bfloat16() for seed in range(3))
    query[0, 0, 3, 2] = torch.nan
    assert tiled_attention(query, key, value, scale=1.0).isnan().any(-1)[0, 0].nonzero().flatten().tolist() == [3]


class Module:
    is_causal = False


@pytest.mark.parametrize(
    "given",
    [
        {"attention_mask": torch.zeros(1, 1, 7, 7).index_fill(3, torch.tensor([2, 5]), -torch.inf)},
        {"attention_mask": torch.arange(7).expand(1, 1, 7, 7) < 5},
        {"is_causal": True},
        {"position_bias": torch.arange(49.0).view(1, 1, 7, 7)},
    ],
    ids=["mask", "bool mask", "causal", "position bias"],
)
def test_what_tiles_dont_do_is_left_to_torch(given):
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    arguments: dict[str, Any] = {"attention_mask": None, "scaling": 0.3, **given}
    parts = [heads(2, 3, 7, 8, seed=seed) for seed in range(3)]
    ours, _ = attention._tiled_in_transformers(Module(), *parts, **arguments)
    theirs, _ = sdpa_attention_forward(Module(), *parts, **arguments)
    assert torch.equal(ours, theirs)
    plain, _ = attention._tiled_in_transformers(Module(), *parts, None, scaling=0.3)
    assert not torch.allclose(ours, plain, atol=1e-3)


def test_dropout_is_left_to_torch():
    parts = [heads(1, 1, 50, 8, seed=seed) for seed in range(3)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, _ = attention._tiled_in_transformers(Module(), *parts, None, dropout=0.5, scaling=1.0)
        torch.manual_seed(0)
        theirs = F.scaled_dot_product_attention(*parts, dropout_p=0.5, scale=1.0)
    assert torch.equal(ours, theirs.transpose(1, 2))


def test_without_a_scaling_it_is_that_of_the_paper():
    parts = [heads(1, 2, 9, 16, seed=seed) for seed in range(3)]
    ours, _ = attention._tiled_in_transformers(Module(), *parts, None)
    torch.testing.assert_close(ours.transpose(1, 2).double(), exact(*parts, 1 / 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("pays_in_fp32", [True, False])
def test_tiles_pay_in_bf16_on_cpus_that_multiply_it(monkeypatch, native, pays_in_fp32):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    tiling = Tiling(switch=list, pays_in_fp32=pays_in_fp32)
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert tiling.pays(cpu, torch.bfloat16) is native
    assert tiling.pays(cpu, torch.float32) is pays_in_fp32
    assert not tiling.pays(cpu, torch.float16)
    assert not any(tiling.pays(cuda, dtype) for dtype in (torch.bfloat16, torch.float32, torch.float16))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("attention") / "tiny"))


@pytest.mark.parametrize("native", [True, False])
def test_the_choice_is_automatic_and_told(checkpoint, monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": native})
    assert load_backbone("videomae", weights=checkpoint).attention == "library"
    half = load_backbone("videomae", weights=checkpoint, precision="bf16")
    assert half.attention == ("tiled" if native else "library")
    told = load_backbone("videomae", weights=checkpoint, precision="bf16", attention="library")
    assert told.attention == "library"


def test_nothing_is_tiled_on_a_gpu(checkpoint, monkeypatch):
    """The decision of a backbone on a GPU, made without one."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    switched = []
    tiling = Tiling(switch=lambda: switched.append(1), pays_in_fp32=True)
    net = replace(load_backbone("videomae", weights=checkpoint)._net, tiling=tiling)
    assert _choose_attention(net, torch.device("cuda"), torch.bfloat16, None) == "library"
    assert not switched
    assert _choose_attention(net, torch.device("cpu"), torch.bfloat16, None) == "tiled"
    assert switched


def test_a_net_without_attention_says_so():
    with pytest.raises(BackboneError, match="r3d_18 has no attention that can be tiled"):
        load_backbone("r3d_18", weights="random:0", attention="tiled")


@pytest.mark.parametrize("name", ["videomae", "dinov2_s", "vit", "vjepa2", "mvit_v2_s", "swin3d_t"])
def test_tiled_nets_give_what_the_library_gives(name, monkeypatch):
    """In fp32 nothing but the order of sums differs."""
    num_frames = reduce(name, monkeypatch)
    library, tiled = (
        load_backbone(name, weights="random:0", num_frames=num_frames, attention=kind) for kind in ("library", "tiled")
    )
    assert (library.attention, tiled.attention) == ("library", "tiled")
    size = library.preprocessing.crop
    clips = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, library.num_frames, size, size))).float()
    pools = [pool for pool in library.pools if pool != "logits"]
    wanted, ours = library.features(clips, pools), tiled.features(clips, pools)
    for pool in pools:
        largest = wanted[pool].abs().max().item()
        torch.testing.assert_close(ours[pool], wanted[pool], atol=1e-5 * largest, rtol=0)


def test_a_net_gets_its_own_attention(monkeypatch):
    """What is tiled is called, and what is not is not."""
    calls = []
    monkeypatch.setattr(attention, "tiled_attention", lambda *_, **__: calls.append(1) or 1 / 0)
    reduce("videomae", monkeypatch)
    library, tiled = (load_backbone("videomae", weights="random:0", attention=kind) for kind in ("library", "tiled"))
    clip = torch.zeros(1, 3, 16, 224, 224)
    library.features(clip)
    assert not calls
    with pytest.raises(ZeroDivisionError):
        tiled.features(clip)
