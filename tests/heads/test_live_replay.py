"""``live_replay`` beside its formula: the maximum over views of features and the embedding of the view's kind."""

from __future__ import annotations

from typing import Any

import torch

from fouls.heads.batch import LIVE, REPLAY, UNKNOWN_KIND, Batch, InputForm
from fouls.heads.live_replay import LiveReplayConfig
from fouls.heads.tasks import Task

TASKS = (Task(name="action", classes=("a", "b", "c")),)


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    form = InputForm(widths=(6,), num_steps=2)
    config = LiveReplayConfig(**{"standardise": False, "hidden": 16, **options})
    return config.resolved(form, TASKS).build(form, TASKS).eval()


def batch() -> Batch:
    """Of 3 views of 2 steps."""
    return Batch(
        x=torch.randn(2, 3, 2, 6, generator=torch.Generator().manual_seed(1)),
        mask=torch.ones(2, 3, 2, dtype=torch.bool),
        view_kinds=torch.tensor([[LIVE, REPLAY, REPLAY], [UNKNOWN_KIND, LIVE, REPLAY]]),
    )


def test_it_is_the_maximum_of_features_and_kinds() -> None:
    head, given = build(), batch()
    with torch.no_grad():
        head.kinds.weight.normal_()
    for sample in range(2):
        views = [given.x[sample, view].mean(0) + head.kinds.weight[given.view_kinds[sample, view]] for view in range(3)]
        enter, norm = head.hidden[0], head.hidden[1]
        hidden = torch.nn.functional.gelu(norm(enter(torch.stack(views).amax(0))))
        torch.testing.assert_close(head(given).logits["action"][sample], head.outputs["task:action"](hidden))


def test_what_is_not_known_starts_at_0_and_what_is_known_matters() -> None:
    head, given = build(), batch()
    assert not head.kinds.weight[UNKNOWN_KIND].any()
    assert head.kinds.weight[[LIVE, REPLAY]].all()
    swapped = Batch(x=given.x, mask=given.mask, view_kinds=given.view_kinds.flip(1))
    assert not torch.allclose(head(given).logits["action"], head(swapped).logits["action"])


def test_without_hidden_layers_the_outputs_read_the_maximum() -> None:
    head, given = build(num_layers=0), batch()
    views = torch.stack([given.x[0, view].mean(0) + head.kinds.weight[given.view_kinds[0, view]] for view in range(3)])
    torch.testing.assert_close(head(given).logits["action"][0], head.outputs["task:action"](views.amax(0)))
