"""What docs/heads.md shows works as it stands there."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fouls.heads import registry
from fouls.heads.batch import Batch, InputForm
from fouls.heads.head import HeadConfig
from fouls.heads.run import load_run
from fouls.heads.run_options import RunOptions
from fouls.heads.tasks import Task
from tests.heads.worlds import blobs, write_world

PAGE = (Path(__file__).parents[2] / "docs" / "heads.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)


def test_every_option_of_every_head_stands_in_the_table_with_its_default() -> None:
    table = PAGE.split("| head | options |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`?\w.*?) \| (.*) \|$", table, flags=re.M)
    shared = {field.name for field in dataclasses.fields(HeadConfig)}
    written = {name: options for names, options in rows for name in re.findall(r"\w+", names)}
    assert set(written) == {"all", *registry.HEADS}
    for name, kind in {"all": HeadConfig, **registry.HEADS}.items():
        defaults = {field.name: field.default for field in dataclasses.fields(kind)}
        own = {option: value for option, value in defaults.items() if name == "all" or option not in shared}
        options = dict(re.findall(r"`(\w+)`(?: ([^,]+))?", written[name]))
        assert set(options) == set(own)
        for option, said in options.items():
            if own[option] is not None:  # else the table says what it comes to
                assert yaml.safe_load(said.split("\\|")[0]) == own[option], (name, option)


def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_world(tmp_path, blobs({"train": 30, "valid": 12}))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(BLOCKS[0], scope)
    assert scope["trained"].scores["valid"]["look"]["balanced_accuracy"] > 0.5
    assert scope["predictions"].probabilities.shape == (42, 3)
    assert load_run("runs/mine").config == scope["prepared"].config


def test_the_head_that_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gru_head.py").write_text(BLOCKS[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.HEADS, "gru", importlib.import_module("gru_head").GruConfig)
    form, tasks = InputForm(widths=(4,), num_steps=5), [Task(name="a", classes=("x", "y"))]
    head = registry.make_head_config("gru", {"hidden": 8}).resolved(form, tasks).build(form, tasks)
    x = torch.randn(3, 2, 5, 4)
    mask = (torch.arange(5) < torch.tensor([5, 3, 1])[:, None])[:, None, :].expand(3, 2, 5)
    head.eval()
    kinds = torch.zeros(3, 2, dtype=torch.int64)
    clean = head(Batch(x=x, mask=mask, view_kinds=kinds)).logits["a"]
    assert clean.shape == (3, 2)
    dirty = Batch(x=x.masked_fill(~mask[..., None], torch.nan), mask=mask, view_kinds=kinds)
    torch.testing.assert_close(head(dirty).logits["a"], clean)


def test_the_config_file() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", Path("docs/heads.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    plain = yaml.safe_load(text)
    assert plain.pop("features") == ["cache/videomae", "cache/mvit"]
    options = RunOptions.from_dict(plain)
    assert (options.train.lr, options.train.mixing.mixup_alpha) == (1e-3, 0.2)
    assert options.loss.of_task("offence_severity").focal_gamma == 3
