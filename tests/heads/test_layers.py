"""The layers that are written out for speed do what torch's own do."""

from __future__ import annotations

import pytest
import torch

from fouls.heads.dropout import Dropout
from fouls.heads.products import Linear
from fouls.heads.tcn import MaskedGroupNorm
from fouls.heads.time_convolution import TimeConvolution


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 4, 9])
def test_a_convolution_over_time_is_torchs(kernel_size: int, dilation: int) -> None:
    torch.manual_seed(0)
    ours = TimeConvolution(5, 6, kernel_size, dilation=dilation)
    torch.manual_seed(0)
    padding = dilation * (kernel_size - 1) // 2
    theirs = torch.nn.Conv1d(5, 6, kernel_size, padding=padding, dilation=dilation)
    x, gradient = torch.randn(4, 8, 5, requires_grad=True), torch.randn(4, 8, 6)
    found, expected = ours(x), theirs(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    of_x, of_weight, of_bias = torch.autograd.grad(found, [x, ours.weight, ours.bias], gradient)
    wanted = torch.autograd.grad(expected, [x, *theirs.parameters()], gradient)
    torch.testing.assert_close((of_x, of_weight.permute(1, 2, 0), of_bias), wanted)


@pytest.mark.parametrize("masked", [False, True])
def test_a_group_norm_over_the_steps_that_are_there_is_torchs(masked: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = MaskedGroupNorm(3, 12), torch.nn.GroupNorm(3, 12)
    for layer in (ours, theirs):
        torch.nn.init.uniform_(layer.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(2))
    x, gradient = torch.randn(4, 7, 12, requires_grad=True), torch.randn(4, 7, 12)
    keep = (torch.arange(7) < 5).float()[None, :, None].expand(4, 7, 1) if masked else None
    there = 5 if masked else 7
    found = ours(x, keep)[:, :there]
    expected = theirs(x[:, :there].transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    for mine, torchs in zip(
        torch.autograd.grad(found, [x, *ours.parameters()], gradient[:, :there]),
        torch.autograd.grad(expected, [x, *theirs.parameters()], gradient[:, :there]),
        strict=True,
    ):
        torch.testing.assert_close(mine, torchs)
    one = ours(torch.randn(1, 1, 12), None)
    assert torch.isfinite(one).all()


def test_products_are_computed_in_the_dtype_of_the_features() -> None:
    torch.manual_seed(0)
    layer = Linear(40, 7)
    x = torch.randn(3, 5, 40)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    short = x.bfloat16()
    found = layer(short)
    assert found.dtype == torch.float32
    exact = short.double() @ layer.weight.bfloat16().double().T
    torch.testing.assert_close(found.double(), exact.bfloat16().double() + layer.bias.double(), rtol=2**-7, atol=2**-9)
    gradient = torch.randn(3, 5, 7)
    of_weight, of_bias = torch.autograd.grad(found, [layer.weight, layer.bias], gradient)
    assert of_weight.dtype == torch.float32
    expected = gradient.bfloat16().double().flatten(0, 1).T @ short.double().flatten(0, 1)
    torch.testing.assert_close(of_weight.double(), expected, rtol=2**-7, atol=2**-7)
    torch.testing.assert_close(of_bias, gradient.sum(dim=(0, 1)))


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    layer, x = Dropout(0.3), torch.ones(1000, 1001)
    torch.manual_seed(0)
    y = layer(x)
    kept = y > 0
    deviation = (0.3 * 0.7 / x.numel()) ** 0.5
    assert abs(kept.float().mean() - 0.7) < 4 * deviation
    for part in range(4):  # four values share one random word
        assert abs(kept.flatten()[part::4].float().mean() - 0.7) < 8 * deviation
    neighbours = (kept.flatten()[:-1] & kept.flatten()[1:]).float().mean()
    assert abs(neighbours - 0.49) < 8 * deviation
    assert y[kept].unique().tolist() == pytest.approx([1 / (1 - round(0.3 * 2**16) / 2**16)])
    torch.manual_seed(0)
    assert layer(x).equal(y)
    assert not layer(x).equal(y)


def test_dropout_of_gradients_and_of_nothing() -> None:
    layer = Dropout(0.5)
    x = torch.randn(7, 3, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.unique().tolist() == [0, 2]
    torch.testing.assert_close(y, x * x.grad)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert layer.train()(x[:0]).shape == (0, 3)
