"""Options from YAML, ``--set`` and flags become typed configurations, or one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fouls.errors import ConfigError
from fouls.heads.losses import LossConfig, LossOverrides
from fouls.heads.options import merge, parse_settings, read_options, write_options
from fouls.heads.run_options import RunOptions
from fouls.heads.train_config import TrainConfig
from fouls.heads.training.mixing import MixingConfig


def test_values_take_the_type_of_their_field() -> None:
    options = RunOptions.from_dict(
        {
            "head": {"name": "tcn", "hidden": "64", "keypoints": True},
            "train": {"lr": "1e-3", "epochs": 5.0, "mixing": {"mixup_alpha": 1}},  # YAML 1.1 reads 1e-3 as a text
            "loss": {"class_weights": None, "by_task": {"foul": {"kind": "focal", "focal_gamma": 3}}}
            | {"class_weights": "none", "task_weights": {"foul": 2}},
            "pools": "temporal",
        }
    )
    assert (options.head.hidden, options.head.keypoints) == (64, True)  # type: ignore[attr-defined]
    assert options.train == TrainConfig(lr=1e-3, epochs=5, mixing=MixingConfig(mixup_alpha=1.0))
    assert isinstance(options.train.epochs, int)
    assert options.loss == LossConfig(
        class_weights="none",
        task_weights={"foul": 2.0},
        by_task={"foul": LossOverrides(kind="focal", focal_gamma=3.0)},
    )
    assert options.pools == ("temporal",)


def test_options_survive_a_file(tmp_path: Path) -> None:
    options = RunOptions.from_dict(
        {"head": {"name": "mlp", "hidden": 7}, "pools": ["mean", "cls"], "loss": {"by_task": {"a": {"kind": "bce"}}}}
    )
    (tmp_path / "options.yaml").write_bytes(write_options(options.to_dict()))
    assert RunOptions.from_dict(read_options(tmp_path / "options.yaml")) == options


def test_settings_go_on_top_section_by_section() -> None:
    base = {"train": {"lr": 1e-3, "epochs": 5}, "tasks": ["a", "b"]}
    merged = merge(base, parse_settings(["train.lr=0.1", "loss.by_task.a.kind=focal", "tasks=[c]"]))
    assert merged == {
        "train": {"lr": 0.1, "epochs": 5},
        "tasks": ["c"],
        "loss": {"by_task": {"a": {"kind": "focal"}}},
    }
    assert base["train"] == {"lr": 1e-3, "epochs": 5}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"train": {"epoch": 3}}, "the run.train has no option 'epoch'; did you mean 'epochs'?"),
        ({"train": {"epochs": "many"}}, "the run.train.epochs is 'many'; it must be a whole number"),
        ({"train": {"epochs": 2.5}}, "the run.train.epochs is 2.5; it must be a whole number"),
        ({"train": 3}, "the run.train is 3; it must be a section with options"),
        ({"augmented": "yes"}, "the run.augmented is 'yes'; it must be true or false"),
        ({"loss": {"kind": "hinge"}}, "loss is 'hinge'; allowed: cross_entropy"),
        ({"loss": {"task_weights": 2}}, "the run.loss.task_weights is 2; it must be a mapping of names to values"),
        ({"head": "lstm"}, "head 'lstm' does not exist; there are linear"),
        ({"head": {"name": "mlp", "hidden": "wide"}}, "head mlp.hidden is 'wide'; it must be a whole number"),
        ({"pose": "cat"}, "pose is 'cat'; allowed: mouse, coordinates"),
        ({"trian": {}}, "the run has no option 'trian'; did you mean 'train'?"),
    ],
)
def test_what_cannot_be_is_one_line(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunOptions.from_dict(plain)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml can't be read \(.*No such file"):
        read_options(tmp_path / "missing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="holds list, not options"):
        read_options(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="can't be read"):
        read_options(tmp_path / "broken.yaml")
    (tmp_path / "code.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="can't be read"):
        read_options(tmp_path / "code.yaml")
    with pytest.raises(ConfigError, match="'lr': it must be NAME=VALUE"):
        parse_settings(["lr"])
