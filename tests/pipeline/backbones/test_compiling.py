"""What torch traces is run as it was traced: what compilers make of it is theirs to test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.errors import BackboneError
from fouls.pipeline.backbones.compiling import CompiledTokens
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import tiny_checkpoint


@pytest.fixture
def traced(monkeypatch):
    """The shapes of the inputs of everything that is compiled."""
    shapes = []

    def backend(graph, inputs):
        shapes.append([tuple(part.shape) for part in inputs if isinstance(part, torch.Tensor)])
        return graph.forward

    compile_with = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile_with(function, backend=backend, **options)
    )
    yield shapes
    torch._dynamo.reset()


def clips(count):
    return torch.arange(count * 24.0).view(count, 3, 2, 2, 2) + 1


def test_smaller_batches_are_filled_up(traced):
    tokens = CompiledTokens(lambda x: x.flatten(2).mT * 2)
    assert tokens.first_seconds is None
    for count in (3, 2, 3, 1):
        assert torch.equal(tokens(clips(count)), clips(count).flatten(2).mT * 2)
    assert traced == [[(3, 3, 2, 2, 2)]]
    assert tokens.first_seconds is not None
    assert torch.equal(tokens(clips(5)), clips(5).flatten(2).mT * 2)
    assert traced[1:] == [[(5, 3, 2, 2, 2)]]


def test_a_failure_of_the_compiler_is_said(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler found")

    compile_with = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compile_with(function, backend=broken, **options))
    with pytest.raises(BackboneError, match=r"can't be compiled here .no compiler found.: leave --compile out"):
        CompiledTokens(lambda x: x + 1)(clips(1))
    torch._dynamo.reset()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_backbone_gives_what_it_gives(traced, tmp_path, precision):
    checkpoint = str(tiny_checkpoint(tmp_path / "tiny"))
    plain = load_backbone("videomae", weights=checkpoint, precision=precision, attention="library")
    compiled = load_backbone("videomae", weights=checkpoint, precision=precision, compile=True)
    assert (plain.compiled, compiled.compiled) == (False, True)
    assert compiled.attention == "library"
    frames = np.random.default_rng(0).integers(0, 256, (3, compiled.num_frames, 40, 50, 3), dtype=np.uint8)
    assert compiled.compile_seconds is plain.compile_seconds is None
    wanted, found = plain.encode(frames, plain.pools), compiled.encode(frames, compiled.pools)
    for pool, feature in wanted.items():
        tolerance = 1e-6 if precision == "fp32" else 2**-7  # in bf16 a batch is rounded otherwise than a clip alone
        torch.testing.assert_close(found[pool], feature, atol=tolerance * feature.abs().max().item(), rtol=0)
    assert traced
    assert compiled.compile_seconds > 0
    assert plain.compile_seconds is None
