"""Every head: what its outputs look like, that padding has no say, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, HeadOutput, InputForm
from fouls.heads.head import Head
from fouls.heads.registry import HEADS, head_name, make_head_config
from fouls.heads.tasks import Task
from fouls.heads.tcn import MaskedGroupNorm

SAMPLE = Task(name="action", classes=("a", "b", "c"))
DOTTED = Task(name="keys.0", classes=("x", "y"), multi_label=True)  # names that a module could stumble over
FRAME = Task(name="type", classes=("i", "j"), per_frame=True)

STEPS = InputForm(widths=(6,), num_steps=6, num_keypoints=2)
GRID = InputForm(widths=(6,), num_steps=12, tokens=True, grid=(2, 1, 2))  # 3 clips of 4 tokens
STEPS_EACH = {STEPS: (6, 2, 4, 5), GRID: (12, 4, 8, 8)}
SPARE_STEPS = {STEPS: 3, GRID: 4}

ONE_ANSWER = ("attentive", "tsn", "i3d", "timesformer", "mvfouls", "vars", "live_replay")
"""Heads for tasks with one label a sample; the others are for labels a frame too."""
SMALL: dict[str, dict[str, Any]] = {
    "linear": {},
    "mlp": {"hidden": 16},
    "tcn": {"hidden": 16},
    "ms_tcn": {"num_stages": 3, "num_layers": 3, "num_maps": 8},
    "attentive": {"num_heads": 3},
    "tsn": {"assisting_reduction": 2},
    "i3d": {"assisting_reduction": 2},
    "timesformer": {},
    "mvfouls": {"hidden": 16, "num_groups": 4, "lstm_hidden": 5},
    "vars": {},
    "live_replay": {"hidden": 16},
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "linear": [{"output": "arcface"}],
    "mlp": [{"project": 4}],
    "tcn": [{"keypoints": True, "output": "arcface_published"}],
    "ms_tcn": [{"keypoints": True}, {"num_stages": 1}],
    "attentive": [{"depth": 3}, {"project": 4, "num_heads": 2}],
    "tsn": [{"assisting": False}, {"published_gate": True, "output": "arcface"}],
    "timesformer": [{"assisting": True, "assisting_reduction": 3}],
    "mvfouls": [{"temporal": "tconv"}, {"temporal": "lstm", "output": "arcface"}],
    "vars": [{"train_views": 2}, {"time_pooling": "mean_std", "project": 4}],
    "live_replay": [{"num_layers": 0}],
}
GRID_VARIANTS: dict[str, list[dict[str, Any]]] = {
    "mvfouls": [
        {"spatial_pooling": spatial, "temporal": temporal, "view_pooling": view}
        for spatial, temporal, view in (("max", "none", "max"), ("attention", "lstm", "mean"), ("max", "tconv", "mean"))
    ]
}


def _cases() -> list[Any]:
    """Head, its options, and the form of its inputs."""
    cases = []
    for name, config in HEADS.items():
        pools_views = "view_pooling" in {field.name for field in dataclasses.fields(config)}
        poolings = [{"view_pooling": kind} for kind in ("mean", "max", "attention")] if pools_views else [{}]
        on_steps = [*poolings, *VARIANTS.get(name, ())]
        on_grid = [{}, *VARIANTS.get(name, ()), *GRID_VARIANTS.get(name, ())] if config.reads_tokens else []
        for form, variants in ((STEPS, on_steps), (GRID, on_grid)):
            for variant in variants:
                said = "-".join(map(str, variant.values())) or "default"
                where = "grid" if form is GRID else "steps"
                cases.append(pytest.param(name, SMALL.get(name, {}) | variant, form, id=f"{name}-{where}-{said}"))
    return cases


CASES = _cases()


def batch(form: InputForm, views: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """x (4, V, T, 6) whose samples have 1 to 3 views, of as many steps as :data:`STEPS_EACH` says."""
    x = torch.randn(4, views, form.num_steps, 6, generator=torch.Generator().manual_seed(0))
    has_view = torch.arange(views) < torch.tensor([1, 2, 3, 3])[:, None]
    has_step = torch.arange(form.num_steps) < torch.tensor(STEPS_EACH[form])[:, None]
    return x, has_view[..., None] & has_step[:, None, :]


def as_batch(x: torch.Tensor, mask: torch.Tensor) -> Batch:
    """A batch whose views are live and replays in turn."""
    return Batch(x=x, mask=mask, view_kinds=(torch.arange(x.shape[1]) % 2).expand(x.shape[:2]))


def build(name: str, options: dict[str, Any], form: InputForm, tasks: tuple[Task, ...]) -> Head:
    torch.manual_seed(0)
    return make_head_config(name, options).resolved(form, tasks).build(form, tasks).eval()


def run(head: Head, x: torch.Tensor, mask: torch.Tensor) -> HeadOutput:
    output = head(as_batch(x, mask))
    assert isinstance(output, HeadOutput)
    return output


def what_counts(output: HeadOutput, mask: torch.Tensor, tasks: tuple[Task, ...]) -> dict[str, torch.Tensor]:
    """All that a head says of what is there, by name: one value a row, sample after sample."""
    extras, frames = output.extras, {task.name for task in tasks if task.per_frame}
    found = {name: logits[mask] if name in frames else logits for name, logits in output.logits.items()}
    for name, stages in extras.stages.items():
        found |= {f"{name}, stage {number}": logits[mask] for number, logits in enumerate(stages)}
    for name, logits in extras.assisting.items():
        assert extras.assisting_mask is not None
        found[f"{name}, assisting"] = logits[extras.assisting_mask]
    for name, weights in extras.view_weights.items():
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
        found[f"weights of {name}"] = weights[mask.any(dim=2)]
    if extras.keypoints is not None:
        found["keypoints"] = extras.keypoints[mask]
    return found


def tasks_of(name: str) -> list[tuple[Task, ...]]:
    return [(SAMPLE, DOTTED), *([(FRAME,), (SAMPLE, FRAME)] if name not in ONE_ANSWER else [])]


@pytest.mark.parametrize(("name", "options", "form"), CASES)
def test_padding_never_changes_a_result(name: str, options: dict[str, Any], form: InputForm) -> None:
    for tasks in tasks_of(name):
        head = build(name, options, form, tasks)
        x, mask = batch(form)
        clean = what_counts(run(head, x.masked_fill(~mask[..., None], 0.0), mask), mask, tasks)
        for garbage in (1e6, torch.nan, torch.inf):
            dirty = what_counts(run(head, x.masked_fill(~mask[..., None], garbage), mask), mask, tasks)
            torch.testing.assert_close(dirty, clean, rtol=0, atol=0)
        spare = SPARE_STEPS[form]
        more_x = torch.nn.functional.pad(x, (0, 0, 0, spare, 0, 2))
        more_mask = torch.nn.functional.pad(mask, (0, spare, 0, 2))
        torch.testing.assert_close(what_counts(run(head, more_x, more_mask), more_mask, tasks), clean)
        alone = []
        for sample in range(4):
            own = mask[sample : sample + 1, : mask[sample].any(1).sum(), : mask[sample].sum(1).max()]
            own_x = x[sample : sample + 1, : own.shape[1], : own.shape[2]]
            alone.append(what_counts(run(head, own_x, own), own, tasks))
        torch.testing.assert_close({key: torch.cat([each[key] for each in alone]) for key in clean}, clean)


@pytest.mark.parametrize(("name", "options", "form"), CASES)
def test_shapes(name: str, options: dict[str, Any], form: InputForm) -> None:
    tasks = (SAMPLE, DOTTED, FRAME) if name not in ONE_ANSWER else (SAMPLE, DOTTED)
    head = build(name, options, form, tasks)
    x, mask = batch(form)
    output = run(head, x, mask)
    expected = {"action": (4, 3), "keys.0": (4, 2), "type": (4, 3, 6, 2)}
    assert {task: tuple(values.shape) for task, values in output.logits.items()} == {
        task.name: expected[task.name] for task in tasks
    }
    assert (output.extras.keypoints is not None) is options.get("keypoints", False)
    if output.extras.keypoints is not None:
        assert output.extras.keypoints.shape == (4, 3, 6, 2, 2)


@pytest.mark.parametrize(("name", "options", "form"), CASES)
def test_gradients_are_finite_in_every_parameter(name: str, options: dict[str, Any], form: InputForm) -> None:
    for tasks in tasks_of(name):
        head = build(name, options, form, tasks).train()
        x, mask = batch(form)
        said = what_counts(run(head, x.masked_fill(~mask[..., None], torch.nan), mask), mask, tasks)
        torch.stack([values.square().sum() for values in said.values()]).sum().backward()  # type: ignore[no-untyped-call]
        gradients = {key: parameter.grad for key, parameter in head.named_parameters()}
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values()), gradients


@pytest.mark.parametrize(("name", "options", "form"), CASES)
def test_what_is_reduced_once_is_what_the_head_would_read(name: str, options: dict[str, Any], form: InputForm) -> None:
    """``reduce`` leaves one step, or as many of every clip, and says so."""
    head = build(name, options, form, (SAMPLE,))
    x, mask = batch(form)
    reduced, left = head.reduce(x, mask)
    assert reduced.shape[:3] == left.shape
    if not head.reduces:
        assert torch.equal(reduced, x)
        assert torch.equal(left, mask)
    elif left.shape[2] > 1:
        assert form.grid is not None
        assert torch.equal(left, mask[:, :, :: form.grid[1] * form.grid[2]])


@pytest.mark.parametrize("name", ONE_ANSWER)
def test_heads_that_give_one_answer_a_sample_refuse_labels_a_frame(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"head '{name}' gives one answer a sample, but task 'type' has a label a"
    ) as e:
        make_head_config(name, SMALL.get(name, {})).resolved(STEPS, (SAMPLE, FRAME))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["tsn", "i3d", "timesformer", "mvfouls"])
def test_tokens_without_a_grid_are_refused(name: str) -> None:
    no_grid = InputForm(widths=(6,), num_steps=12, tokens=True)
    with pytest.raises(
        ConfigError, match=rf"head '{name}' needs the grid of the tokens, which this store does not know"
    ):
        make_head_config(name, SMALL.get(name, {})).resolved(no_grid, (SAMPLE,))
    make_head_config("attentive", SMALL["attentive"]).resolved(no_grid, (SAMPLE,))


@pytest.mark.parametrize(
    ("name", "options", "form", "message"),
    [
        ("tcn", {}, InputForm(widths=(6,)), "head 'tcn' convolves over time, but these features have one time step"),
        ("ms_tcn", {}, InputForm(widths=(6,)), "head 'ms_tcn' convolves over time, but these features have one time"),
        ("tcn", {"keypoints": True}, InputForm(widths=(6,), num_steps=4), "keypoints are to be regressed, but the"),
        ("ms_tcn", {"keypoints": True}, InputForm(widths=(6,), num_steps=4), "keypoints are to be regressed, but the"),
        ("attentive", {"num_heads": 4}, STEPS, "num_heads is 4, which does not divide the width 6 of the features"),
        ("attentive", {"num_heads": 5}, STEPS, "these do: 1, 2, 3, 6"),
        ("attentive", {}, STEPS, "num_heads is 12, which does not divide the width 6"),
        ("tsn", {}, InputForm(widths=(64,)), "the assisting outputs of head 'tsn' look at single steps"),
        ("i3d", {}, STEPS, "assisting reduction is 16, more than the width 6 of the features"),
        ("mvfouls", {"spatial_pooling": "max"}, STEPS, "spatial pooling is 'max', but these features are no grid"),
        ("mvfouls", {"temporal": "lstm"}, InputForm(widths=(6,)), "temporal is 'lstm', but these features have one"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_work(name: str, options: dict[str, Any], form: InputForm, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_head_config(name, options).resolved(form, (SAMPLE,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {}, "head 'lstm' does not exist; there are linear, mlp, tcn, ms_tcn, attentive, tsn"),
        ("linear", {"hidden": 8}, "head 'linear' can't use hidden = 8; mlp, tcn, mvfouls, live_replay can"),
        ("mlp", {"dropout": 1.0}, "dropout is 1; allowed: 0 to 1 (exclusive)"),
        ("mlp", {"view_pooling": "sum"}, "view pooling is 'sum'; allowed: mean, max, attention"),
        ("mlp", {"time_pooling": "last"}, "time pooling is 'last'; allowed: mean, std, mean_std, max"),
        ("mlp", {"output": "cosine"}, "output is 'cosine'; allowed: linear, arcface, arcface_published"),
        ("mlp", {"output_scale": 0.0}, "output scale is 0; allowed: 0.001 to 1e+06"),
        ("mlp", {"output_margin": 2.0}, "output margin is 2; allowed: 0 to 1.5708"),
        ("tcn", {"hidden": 30}, "hidden is 30; it must be a multiple of the 8 norm groups"),
        ("tcn", {"kernel_size": 4}, "kernel size is 4; it must be odd"),
        ("ms_tcn", {"num_stages": 0}, "stages is 0; allowed: 1 to 16"),
        ("attentive", {"depth": 0}, "depth is 0; allowed: 1 to 64"),
        ("tsn", {"assisting_reduction": 0}, "assisting reduction is 0; allowed: 1 to 65536"),
        ("mvfouls", {"hidden": 100}, "hidden is 100; it must be a multiple of the 32 norm groups, 4 times at"),
        ("mvfouls", {"hidden": 64}, "hidden is 64; it must be a multiple of the 32 norm groups, 4 times at least"),
        ("mvfouls", {"temporal": "gru"}, "temporal is 'gru'; allowed: none, tconv, lstm"),
        ("mvfouls", {"temperature": 0.0}, "temperature is 0; allowed: 0.001 to 1000"),
        ("vars", {"train_views": 0}, "train views is 0; allowed: 1 to 1e+06"),
        ("live_replay", {"num_layers": 17}, "layers is 17; allowed: 0 to 16"),
    ],
)
def test_options_that_cannot_work(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_head_config(name, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_left_open_is_resolved_by_the_form() -> None:
    one, eight = InputForm(widths=(768,)), InputForm(widths=(768,), num_steps=8)

    def resolved(name: str, form: InputForm, **options: Any) -> dict[str, Any]:
        return make_head_config(name, options).resolved(form, (SAMPLE,)).to_dict()

    assert resolved("mlp", eight)["time_pooling"] == "mean_std"
    assert resolved("mlp", one)["time_pooling"] == "mean"
    assert resolved("linear", eight, time_pooling="max")["time_pooling"] == "max"
    assert [resolved(name, eight)["time_pooling"] for name in ("tcn", "ms_tcn", "vars", "live_replay")] == ["mean"] * 4
    widths = ((768, 12), (1024, 16), (1280, 16), (1408, 16), (384, 12))
    assert [resolved("attentive", InputForm(widths=(width,)))["num_heads"] for width, _ in widths] == [
        heads for _, heads in widths
    ]
    assert resolved("mvfouls", eight)["spatial_pooling"] is None
    assert resolved("mvfouls", GRID)["spatial_pooling"] == "average"


@pytest.mark.parametrize("name", HEADS)
def test_a_resolved_config_survives_being_written_down(name: str) -> None:
    config = make_head_config(name, SMALL.get(name, {})).resolved(STEPS, (SAMPLE,))
    assert head_name(config) == name
    assert make_head_config(name, config.to_dict()) == config
    assert config.resolved(STEPS, (SAMPLE,)) == config


def test_a_linear_head_is_a_linear_layer_on_the_mean_view() -> None:
    head: Any = build("linear", {"time_pooling": "mean", "standardise": False}, STEPS, (SAMPLE,))
    x, mask = batch(STEPS)
    views = [x[2, view, :4].mean(0) for view in range(3)]
    expected = head.outputs["task:action"](torch.stack(views).mean(0))
    torch.testing.assert_close(run(head, x, mask).logits["action"][2], expected)


def test_tcn_sees_the_order_of_the_steps_and_mlp_does_not() -> None:
    x, _ = batch(STEPS)
    mask = torch.ones(4, 3, 6, dtype=torch.bool)
    for name, sees in (("mlp", False), ("tcn", True)):
        head = build(name, SMALL.get(name, {}), STEPS, (SAMPLE,))
        forwards, backwards = run(head, x, mask).logits["action"], run(head, x.flip(2), mask).logits["action"]
        same = torch.allclose(forwards, backwards, atol=1e-5)
        assert same is not sees


def test_group_norm_without_padding_is_torchs() -> None:
    x = torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = MaskedGroupNorm(4, 16), torch.nn.GroupNorm(4, 16)
    steps = x.transpose(1, 2)
    expected = theirs(x).transpose(1, 2)
    torch.testing.assert_close(ours(steps, None), expected)
    longer = torch.nn.functional.pad(steps, (0, 0, 0, 4), value=9.0)
    short = ours(longer, (torch.arange(9) < 5).float()[None, :, None].expand(3, 9, 1))
    torch.testing.assert_close(short[:, :5], expected)
