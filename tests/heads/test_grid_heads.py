"""``tsn``, ``i3d`` and ``timesformer`` beside means and linear layers written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fouls.heads.batch import Batch, InputForm
from fouls.heads.grid_heads import SqueezeExcitation
from fouls.heads.predictions import reduced
from fouls.heads.prepare import prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run import load_run
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import samples_from_rows
from fouls.heads.tasks import Task
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import train_head
from tests.heads.test_samples import rows_of
from tests.heads.worlds import Clip, Video, make_manifest, make_store

FINE = Task(name="action", classes=("a", "b", "c"))
COARSE = Task(name="body", classes=("x", "y"))
GRID = InputForm(widths=(8,), num_steps=36, tokens=True, grid=(3, 2, 3))  # 2 clips
STEPS = InputForm(widths=(8,), num_steps=6)
NAMES = ("tsn", "i3d", "timesformer")


def build(name: str, form: InputForm, *tasks: Task, **options: Any) -> Any:
    torch.manual_seed(0)
    small = {"standardise": False, "assisting": True, "assisting_reduction": 4, **options}
    return make_head_config(name, small).resolved(form, tasks).build(form, tasks).eval()


def batch() -> Batch:
    """2 samples of 2 views of 2 clips of tokens; the second sample has one view, with one clip."""
    x = torch.randn(2, 2, 36, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 2, 36, dtype=torch.bool)
    mask[1, 1] = False
    mask[1, 0, 18:] = False
    return Batch(x=x, mask=mask, view_kinds=torch.zeros(2, 2, dtype=torch.int64))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_linear_layer_on_the_mean_averaged_as_probabilities(name: str) -> None:
    head, given = build(name, GRID, FINE, COARSE), batch()
    logits = head(given).logits
    for task in ("action", "body"):
        output = head.outputs[f"task:{task}"]
        both = torch.stack([output(given.x[0, view].mean(0)).softmax(0) for view in range(2)])
        torch.testing.assert_close(logits[task][0].softmax(0), both.mean(0))
        torch.testing.assert_close(logits[task][1], output(given.x[1, 0, :18].mean(0)))  # one track keeps its logits


@pytest.mark.parametrize("published", [False, True])
def test_assisting_outputs_look_at_each_step(published: bool) -> None:
    head, given = build("tsn", GRID, FINE, COARSE, published_gate=published), batch()
    extras = head(given).extras
    assert set(extras.assisting) == {"action", "body"}
    assert extras.assisting_mask.sum(dim=1).tolist() == [2 * 6, 3]
    output = head.assisting["task:body"]
    down, up = output.excite.gate[0].weight, output.excite.gate[2].weight
    assert down.shape == (2, 8)
    for view, clip, step in ((0, 0, 0), (0, 1, 2), (1, 0, 1)):
        first = clip * 18 + step * 6
        place_mean = given.x[0, view, first : first + 6].mean(0).detach()
        gate = 1 / (1 + torch.exp(-(up @ (down @ place_mean).clamp(min=0))))
        expected = output.output(gate if published else gate * place_mean)
        torch.testing.assert_close(extras.assisting["body"][0, view * 6 + clip * 3 + step], expected)


def test_the_task_alone_is_fine_alone() -> None:
    assert set(build("tsn", GRID, FINE)(batch()).extras.assisting) == {"action"}
    assert not build("tsn", GRID, FINE, assisting=False)(batch()).extras.assisting


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("assisting", [False, True])
def test_rows_whose_places_are_averaged_already_give_the_same(name: str, assisting: bool) -> None:
    on_tokens, on_steps = (build(name, form, FINE, assisting=assisting) for form in (GRID, STEPS))
    on_steps.load_state_dict(on_tokens.state_dict())
    given = batch()
    temporal = given.with_steps(given.x.reshape(2, 2, 6, 6, 8).mean(dim=3), given.mask[:, :, ::6])
    torch.testing.assert_close(on_tokens(given).logits, on_steps(temporal).logits)
    torch.testing.assert_close(on_tokens(given).extras.assisting, on_steps(temporal).extras.assisting)


@pytest.mark.parametrize("assisting", [False, True])
def test_samples_are_reduced_once_and_stand_for_their_tokens(assisting: bool) -> None:
    """Of tracks with 2 clips and with 1, in a plain pass and an augmented one."""
    clips = (("a", "a/0", 0, 0, 0), ("a", "a/0", 0, 1, 0), ("b", "b/0", 0, 0, 0), ("b", "b/1", 1, 0, 0))
    rows = rows_of(*clips, *clips).append_column("augment", [[0] * 4 + [1] * 4])
    values = np.random.default_rng(0).standard_normal((8, 18, 8)).astype(np.float16)
    samples = samples_from_rows(values, rows, clips_are_steps=True)
    head = build("tsn", GRID, FINE, assisting=assisting)
    once = reduced(head, samples)
    assert once.values.shape == ((8 + 4, 3, 8) if assisting else (6, 1, 8))  # 2 clips of 3 tracks, 2 passes
    indices = torch.tensor([1, 0])
    for passes in (None, torch.tensor([1, 0]), torch.tensor([1, 1])):
        direct, indirect = head(samples.gather(indices, passes)), head.classify(once.gather(indices, passes))
        torch.testing.assert_close(indirect.logits, direct.logits)
        if assisting:
            torch.testing.assert_close(indirect.extras.assisting, direct.extras.assisting)
            assert torch.equal(indirect.extras.assisting_mask, direct.extras.assisting_mask)


@pytest.mark.parametrize("name", ["tsn", "attentive"])
def test_a_run_on_tokens_answers_as_it_did_in_training(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = [
        Video(
            video_id=f"{number}",
            split="train" if number < 12 else "valid",
            labels={"action": number % 3, "body": number % 2},
            clips=[Clip(features={"tokens": rng.standard_normal((12, 8))})],
        )
        for number in range(16)
    ]
    store = make_store(tmp_path / "store", videos, grids={"tokens": (3, 2, 2)})
    manifest = make_manifest(videos, {"action": ["a", "b", "c"], "body": ["x", "y"]})
    small = {"tsn": {"assisting_reduction": 2}, "attentive": {"num_heads": 2}}
    options = RunOptions(head=make_head_config(name, small[name]), train=TrainConfig(epochs=2))
    prepared = prepare(store, manifest, options, manifest_path="m")
    assert prepared.config.form == InputForm(widths=(8,), num_steps=12, tokens=True, grid=(3, 2, 2))
    trained = train_head(prepared, out=tmp_path / "runs", name="mine")
    again = load_run(tmp_path / "runs" / "mine")
    assert again.config == trained.run.config
    predicted = again.predict(store["tokens"][:], store.rows())
    for before, after in zip(trained.run.predict_samples(prepared.samples), predicted, strict=True):
        np.testing.assert_array_equal(after.probabilities, before.probabilities)


def test_squeeze_and_excitation_gates_its_input() -> None:
    layer = SqueezeExcitation(32, 16)
    assert [tuple(weight.shape) for weight in layer.parameters()] == [(2, 32), (32, 2)]
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    ratio: Tensor = layer(x) / x
    assert ((ratio > 0) & (ratio < 1)).all()
