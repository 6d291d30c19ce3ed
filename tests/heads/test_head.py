"""Every head: what its outputs look like, and that padding has no say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, InputForm
from fouls.heads.head import Head
from fouls.heads.registry import HEADS, head_name, make_head_config
from fouls.heads.tasks import Task
from fouls.heads.tcn import MaskedGroupNorm, TcnConfig

SAMPLE = Task(name="action", classes=("a", "b", "c"))
DOTTED = Task(name="keys.0", classes=("x", "y"))  # names that a module could stumble over
FRAME = Task(name="type", classes=("i", "j"), per_frame=True)
SMALL: dict[str, dict[str, Any]] = {"linear": {}, "mlp": {"hidden": 16}, "tcn": {"hidden": 16}}


def batch(steps: int = 6, views: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """x (4, V, T, 5) whose samples have 1 to 3 views of 2 to 6 steps."""
    x = torch.randn(4, views, steps, 5, generator=torch.Generator().manual_seed(0))
    has_view = torch.arange(views) < torch.tensor([1, 2, 3, 3])[:, None]
    has_step = torch.arange(steps) < torch.tensor([6, 2, 4, 5])[:, None]
    return x, has_view[..., None] & has_step[:, None, :]


def as_batch(x: torch.Tensor, mask: torch.Tensor) -> Batch:
    """A batch whose views are live and replays in turn."""
    return Batch(x=x, mask=mask, view_kinds=(torch.arange(x.shape[1]) % 2).expand(x.shape[:2]))


def build(name: str, tasks: tuple[Task, ...], **options: Any) -> Any:
    torch.manual_seed(0)
    form = InputForm(widths=(5,), num_steps=6)
    return make_head_config(name, {**SMALL[name], **options}).resolved(form, tasks).build(form, tasks).eval()


def logits_of(head: Head, x: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    return head(as_batch(x, mask)).logits


@pytest.mark.parametrize("tasks", [(SAMPLE, DOTTED), (FRAME,), (SAMPLE, FRAME)], ids=["sample", "frame", "both"])
@pytest.mark.parametrize("view_pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("name", HEADS)
def test_padding_never_changes_a_result(name: str, view_pooling: str, tasks: tuple[Task, ...]) -> None:
    head = build(name, tasks, view_pooling=view_pooling)
    x, mask = batch()
    clean = logits_of(head, x.masked_fill(~mask[..., None], 0.0), mask)
    for garbage in (1e6, torch.nan, torch.inf):
        dirty = logits_of(head, x.masked_fill(~mask[..., None], garbage), mask)
        for task in tasks:
            there = mask if task.per_frame else torch.ones(4, dtype=torch.bool)
            torch.testing.assert_close(dirty[task.name][there], clean[task.name][there], rtol=0, atol=0)
    more_x, more_mask = torch.nn.functional.pad(x, (0, 0, 0, 3, 0, 2)), torch.nn.functional.pad(mask, (0, 3, 0, 2))
    longer = logits_of(head, more_x, more_mask)
    alone = [
        logits_of(head, x[i : i + 1, : mask[i].any(1).sum(), : mask[i].sum(1).max()], _own(mask, i)) for i in range(4)
    ]
    for task in tasks:
        if task.per_frame:
            torch.testing.assert_close(longer[task.name][more_mask], clean[task.name][mask])
            each = torch.cat([logits[task.name][_own(mask, i)] for i, logits in enumerate(alone)])
            torch.testing.assert_close(each, clean[task.name][mask])
        else:
            torch.testing.assert_close(longer[task.name], clean[task.name])
            torch.testing.assert_close(torch.cat([logits[task.name] for logits in alone]), clean[task.name])


def _own(mask: torch.Tensor, sample: int) -> torch.Tensor:
    """A sample's mask without padding, (1, V, T)."""
    own = mask[sample]
    return own[: own.any(1).sum(), : own.sum(1).max()][None]


@pytest.mark.parametrize("name", HEADS)
def test_shapes(name: str) -> None:
    x, mask = batch()
    logits = logits_of(build(name, (SAMPLE, DOTTED, FRAME)), x, mask)
    assert {task: tuple(values.shape) for task, values in logits.items()} == {
        "action": (4, 3),
        "keys.0": (4, 2),
        "type": (4, 3, 6, 2),
    }


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_finite_in_every_parameter(name: str) -> None:
    head = build(name, (SAMPLE,), view_pooling="attention").train()
    x, mask = batch()
    logits_of(head, x, mask)["action"].square().sum().backward()
    gradients = {key: parameter.grad for key, parameter in head.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values()), gradients


def test_a_linear_head_is_a_linear_layer_on_the_mean_view() -> None:
    head = build("linear", (SAMPLE,), time_pooling="mean", standardise=False)
    x, mask = batch()
    output = head.outputs["task:action"]
    views = [x[2, view, :4].mean(0) for view in range(3)]
    torch.testing.assert_close(logits_of(head, x, mask)["action"][2], output(torch.stack(views).mean(0)))


def test_tcn_sees_the_order_of_the_steps_and_mlp_does_not() -> None:
    x, _ = batch()
    mask = torch.ones(4, 3, 6, dtype=torch.bool)
    for name, sees in (("mlp", False), ("tcn", True)):
        head = build(name, (SAMPLE,))
        forwards, backwards = logits_of(head, x, mask)["action"], logits_of(head, x.flip(2), mask)["action"]
        same = torch.allclose(forwards, backwards, atol=1e-5)
        assert same is not sees


def test_group_norm_without_padding_is_torchs() -> None:
    x = torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = MaskedGroupNorm(4, 16), torch.nn.GroupNorm(4, 16)
    torch.testing.assert_close(ours(x, torch.ones(3, 1, 5)), theirs(x))
    short = ours(torch.nn.functional.pad(x, (0, 4), value=9.0), (torch.arange(9) < 5).float().expand(3, 1, 9))
    torch.testing.assert_close(short[..., :5], theirs(x))


def test_time_pooling_is_resolved_by_the_number_of_steps() -> None:
    one, eight = InputForm(widths=(5,)), InputForm(widths=(5,), num_steps=8)
    assert make_head_config("mlp", {}).resolved(eight, (SAMPLE,)).time_pooling == "mean_std"
    assert make_head_config("mlp", {}).resolved(one, (SAMPLE,)).time_pooling == "mean"
    assert make_head_config("linear", {"time_pooling": "max"}).resolved(eight, (SAMPLE,)).time_pooling == "max"
    assert make_head_config("tcn", {}).resolved(eight, (SAMPLE,)).time_pooling == "mean"
    assert [head_name(make_head_config(name, {})) for name in HEADS] == list(HEADS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {}, "head 'lstm' does not exist; there are linear, mlp, tcn"),
        ("linear", {"hidden": 8}, "head 'linear' can't use hidden = 8; mlp, tcn can"),
        ("mlp", {"dropout": 1.0}, "dropout is 1; allowed: 0 to 1 (exclusive)"),
        ("mlp", {"view_pooling": "sum"}, "view pooling is 'sum'; allowed: mean, max, attention"),
        ("mlp", {"time_pooling": "last"}, "time pooling is 'last'; allowed: mean, std, mean_std, max"),
        ("tcn", {"hidden": 30}, "hidden is 30; it must be a multiple of the 8 norm groups"),
        ("tcn", {"kernel_size": 4}, "kernel size is 4; it must be odd"),
    ],
)
def test_options_that_cannot_work(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_head_config(name, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tcn_needs_time() -> None:
    with pytest.raises(ConfigError, match="one time step a track"):
        TcnConfig().resolved(InputForm(widths=(5,)), (SAMPLE,))
