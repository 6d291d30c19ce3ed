"""``ms_tcn`` beside the published net, written down again with plain convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from fouls.heads.batch import Batch, InputForm
from fouls.heads.ms_tcn import MsTcnConfig
from fouls.heads.tasks import Task

FRAME = Task(name="do", classes=("rest", "walk", "lick"), per_frame=True)
OTHER = Task(name="look", classes=("left", "right"), per_frame=True)
SAMPLE = Task(name="action", classes=("a", "b", "c", "d"))
MANY = Task(name="traits", classes=("p", "q"), multi_label=True)


def build(*tasks: Task, num_keypoints: int = 0, **options: Any) -> Any:
    torch.manual_seed(0)
    form = InputForm(widths=(5,), num_steps=20, num_keypoints=num_keypoints)
    small = {"num_stages": 3, "num_layers": 4, "num_maps": 6, "standardise": False, **options}
    return MsTcnConfig(**small).resolved(form, tasks).build(form, tasks).eval()


def batch(steps: int = 20, views: int = 1) -> Batch:
    x = torch.randn(2, views, steps, 5, generator=torch.Generator().manual_seed(1))
    return Batch(
        x=x,
        mask=torch.ones(2, views, steps, dtype=torch.bool),
        view_kinds=torch.zeros(2, views, dtype=torch.int64),
    )


def published(weights: dict[str, torch.Tensor], x: torch.Tensor, tasks: list[str]) -> list[dict[str, torch.Tensor]]:
    """The logits of all stages, (N, classes, T) each, of unpadded x (N, D, T)."""
    logits: list[dict[str, torch.Tensor]] = []
    for stage in range(3):
        own = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"stages.{stage}.")}
        x = F.conv1d(x, own["enter.weight"], own["enter.bias"])
        for layer in range(4):
            y = F.conv1d(
                x,
                own[f"layers.{layer}.dilated.weight"],
                own[f"layers.{layer}.dilated.bias"],
                padding=2**layer,
                dilation=2**layer,
            )
            x = x + F.conv1d(y.relu(), own[f"layers.{layer}.mix.weight"], own[f"layers.{layer}.mix.bias"])
        outputs = {}
        for task in tasks:
            name = f"step_outputs.{stage}.task:{task}"
            outputs[task] = F.conv1d(x, weights[f"{name}.weight"][..., None], weights[f"{name}.bias"])
        logits.append(outputs)
        probabilities = [each.sigmoid() if task == MANY.name else each.softmax(dim=1) for task, each in outputs.items()]
        x = torch.cat(probabilities, dim=1)
    return logits


def test_it_is_the_published_net_at_every_stage() -> None:
    for tasks in ((FRAME,), (FRAME, OTHER), (MANY, FRAME)):
        head, given = build(*tasks), batch()
        output = head(given)
        expected = published(dict(head.state_dict()), given.x[:, 0].transpose(1, 2), [task.name for task in tasks])
        for task in (task for task in tasks if task.per_frame):
            assert len(output.extras.stages[task.name]) == 2
            for stage, logits in enumerate((*output.extras.stages[task.name], output.logits[task.name])):
                torch.testing.assert_close(logits[:, 0], expected[stage][task.name].transpose(1, 2))


def test_a_stage_sees_as_far_as_the_paper_says() -> None:
    """With dilations 1, 2, 4, 8 a stage sees 2^5 − 1 steps: 15 to each side."""
    head, given = build(FRAME, num_stages=1), batch(steps=41)
    before = head(given).logits["do"]
    after = head(given.with_steps(given.x.index_fill(2, torch.tensor([20]), 3.0), given.mask)).logits["do"]
    changed = (before != after).any(dim=-1).any(dim=0)[0].nonzero()[:, 0].tolist()
    assert changed == list(range(5, 36))


def test_a_sample_takes_the_mean_over_time_of_the_last_stage() -> None:
    head, given = build(SAMPLE, FRAME), batch(views=3)
    maps: list[torch.Tensor] = []
    head.stages[-1].register_forward_hook(lambda module, inputs, output: maps.append(output))
    output = head(given)
    mean = maps[0].reshape(2, 3, 20, 6).mean(dim=(1, 2))
    torch.testing.assert_close(output.logits["action"], head.outputs["task:action"](mean))


def test_the_steps_of_all_stages_assist_the_label_of_a_sample() -> None:
    head, given = build(SAMPLE, FRAME), batch(views=2)
    mask = given.mask.clone()
    mask[0, 1] = False
    mask[1, :, 15:] = False
    output = head(given.with_steps(given.x, mask))
    assert set(output.extras.assisting) == {"action"}
    assert set(output.extras.stages) == {"do"}
    assert output.extras.assisting["action"].shape == (2, 2 * 3 * 20, 4)
    assert output.extras.assisting_mask is not None
    assert output.extras.assisting_mask.sum(dim=1).tolist() == [3 * 20, 3 * 2 * 15]
    alone = head(given.with_steps(given.x[:1, :1], mask[:1, :1])).extras.assisting["action"]
    torch.testing.assert_close(output.extras.assisting["action"][output.extras.assisting_mask][:60], alone[0])


def test_keypoints_come_from_the_first_stage() -> None:
    head, given = build(FRAME, num_keypoints=4, keypoints=True), batch(views=2)
    keypoints = head(given).extras.keypoints
    assert keypoints.shape == (2, 2, 20, 4, 2)
    first_stage = head.stages[0](given.x.flatten(0, 1), given.mask.flatten(0, 1))
    torch.testing.assert_close(keypoints.flatten(0, 1), head.keypoints(first_stage))
