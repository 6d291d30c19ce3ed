"""``vars`` beside loops over views."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fouls.heads.batch import Batch, InputForm
from fouls.heads.tasks import Task
from fouls.heads.vars import VarsAttention, VarsConfig, draw_views

TASKS = (Task(name="action", classes=("a", "b", "c")), Task(name="severity", classes=("x", "y")))


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    form = InputForm(widths=(6,))
    return VarsConfig(**{"standardise": False, **options}).resolved(form, TASKS).build(form, TASKS).eval()


def batch(views: int = 4) -> Batch:
    """Of 1, 2, 3 and 4 views of one step."""
    x = torch.randn(4, views, 1, 6, generator=torch.Generator().manual_seed(1))
    there = torch.arange(views) < torch.arange(1, 5)[:, None]
    return Batch(x=x, mask=there[..., None], view_kinds=torch.zeros(4, views, dtype=torch.int64))


def test_attention_is_that_of_vars() -> None:
    attention, given = VarsAttention(6), batch()
    turn = attention.turn.weight.detach().T  # x W
    pooled, weights = attention(given.x[:, :, 0], given.present)
    for sample in range(4):
        views = [given.x[sample, view, 0] @ turn for view in range(sample + 1)]
        similar = [[max(0.0, float(a @ b)) for b in views] for a in views]
        total = sum(map(sum, similar))
        expected = [sum(row[column] for row in similar) / total for column in range(len(views))]
        torch.testing.assert_close(weights[sample, : sample + 1], torch.tensor(expected))
        assert not weights[sample, sample + 1 :].any()
        assert sum(expected) == pytest.approx(1)
        torch.testing.assert_close(
            pooled[sample], torch.stack([w * view for w, view in zip(expected, views, strict=True)]).sum(0)
        )


def test_views_without_features_weigh_the_same() -> None:
    attention = VarsAttention(6)
    x = torch.zeros(1, 3, 6, requires_grad=True)
    pooled, weights = attention(x, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]))
    pooled.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["max", "mean", "attention"])
def test_layers_are_the_published_ones(kind: str) -> None:
    head, given = build(view_pooling=kind), batch()
    views = given.x[2, :3, 0]
    pooled = {"max": views.amax(0), "mean": views.mean(0)}.get(kind)
    if pooled is None:
        pooled = head.attention(views[None], torch.ones(1, 3, dtype=torch.bool))[0][0]
    assert [type(layer).__name__ for layer in head.shared] == ["LayerNorm", "Linear", "Linear"]
    hidden = head.shared(pooled)
    output = head(given)
    for task in TASKS:
        layers = head.outputs[f"task:{task.name}"]
        assert [type(layer).__name__ for layer in layers] == ["LayerNorm", "Linear", "Linear"]
        torch.testing.assert_close(output.logits[task.name][2], layers(hidden))
    assert set(output.extras.view_weights) == ({"views"} if kind == "attention" else set())


def test_training_draws_views_and_evaluation_takes_all() -> None:
    head, given = build(train_views=2), batch()
    assert (head(given).extras.view_weights["views"] > 0).sum(dim=1).tolist() == [1, 2, 3, 4]
    head.train()
    torch.manual_seed(3)
    weights = [head(given).extras.view_weights["views"] for _ in range(20)]
    drawn = torch.stack(weights) > 0
    assert (drawn.sum(dim=2) <= 2).all()  # ReLU leaves a view 0 now and then
    assert drawn[:, 3].any(dim=0).all()
    torch.manual_seed(3)
    assert torch.equal(head(given).extras.view_weights["views"], weights[0])


def test_views_are_drawn_evenly_among_those_that_are_there() -> None:
    torch.manual_seed(0)
    present = torch.tensor([[True, False, True, True], [False, True, False, False]]).repeat(6000, 1)
    drawn = draw_views(present, 2)
    assert not (drawn & ~present).any()
    assert drawn[::2].sum(dim=1).unique().tolist() == [2]
    assert drawn[1::2].sum(dim=1).unique().tolist() == [1]
    torch.testing.assert_close(
        drawn[::2].float().mean(dim=0), torch.tensor([2 / 3, 0, 2 / 3, 2 / 3]), rtol=0, atol=0.02
    )
