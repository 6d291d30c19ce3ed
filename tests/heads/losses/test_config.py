"""Options of the losses: checked, saved, and of single tasks."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from fouls.errors import ConfigError
from fouls.heads.losses import LossConfig, LossOverrides


def test_to_json_and_back() -> None:
    config = LossConfig(
        kind="focal",
        task_weights={"action": 2.0},
        by_task={"severity": LossOverrides(kind="bce", label_smoothing=0.0), "action": LossOverrides(focal_gamma=2.5)},
    )
    assert LossConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert LossConfig.from_dict({}) == LossConfig()
    assert LossConfig.from_dict({"label_smoothing": 0.2}).label_smoothing == 0.2


def test_a_task_has_its_own_options() -> None:
    config = LossConfig(focal_gamma=1.0, by_task={"action": LossOverrides(kind="focal", class_weights="none")})
    action, other = config.of_task("action"), config.of_task("other")
    assert (action.kind, action.class_weights, action.focal_gamma) == ("focal", "none", 1.0)
    assert other == LossConfig(focal_gamma=1.0)


def test_resolved_leaves_nothing_open() -> None:
    assert LossConfig().resolved(["action"]).smoothness_weight == 0
    assert LossConfig(smoothness="l1").resolved(["action"]).smoothness_weight == 5e-4
    assert LossConfig(smoothness="truncated_mse").resolved(["action"]).smoothness_weight == 0.15
    assert LossConfig(smoothness="l1", smoothness_weight=1.0).resolved(["action"]).smoothness_weight == 1
    resolved = LossConfig(smoothness="l1").resolved(["action"])
    assert resolved.resolved(["action"]) == resolved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "hinge"}, "loss is 'hinge'; allowed: cross_entropy, focal"),
        ({"class_weights": "effective"}, "class weights is 'effective'; allowed: none, balanced"),
        ({"label_smoothing": 1.0}, "label smoothing is 1; allowed"),
        ({"focal_gamma": -1.0}, "focal gamma is -1; allowed"),
        ({"effective_number_beta": 1.0}, "effective number beta is 1; allowed"),
        ({"arcface_margin": 2.0}, "arcface margin is 2; allowed"),
        ({"arcface_scale": 0.0}, "arcface scale is 0; allowed"),
        ({"smoothness": "l2"}, "smoothness is 'l2'; allowed: none, l1, truncated_mse"),
        ({"smoothness_weight": -0.1}, "smoothness weight is -0.1; allowed"),
        ({"task_weights": {"action": -1.0}}, "weight of task 'action' is -1; allowed"),
        ({"task_weighting": "inverse"}, "task weighting is 'inverse'; allowed: fixed, inverse_accuracy"),
        ({"kind": "bce", "logit_adjustment_tau": 1.0}, "loss 'bce' can't use: it adjusts a softmax"),
        ({"by_task": {"action": LossOverrides(focal_gamma=-2.0)}}, "loss of task 'action': focal gamma is -2"),
        (
            {"logit_adjustment_tau": 1.0, "by_task": {"action": LossOverrides(kind="bce")}},
            "loss of task 'action': logit adjustment tau is 1, which loss 'bce'",
        ),
    ],
)
def test_values_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LossConfig(**options)


def test_a_task_can_do_without_the_adjustment_of_the_others() -> None:
    own = LossOverrides(kind="bce", logit_adjustment_tau=0.0)
    config = LossConfig(logit_adjustment_tau=1.0, by_task={"action": own})
    assert config.of_task("action").logit_adjustment_tau == 0


def test_options_and_tasks_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="the loss has no option 'gamma'; it has kind, focal_gamma"):
        LossConfig.from_dict({"gamma": 2})
    with pytest.raises(ConfigError, match="the loss of task 'action' has no option 'gamma'; it has kind, focal_gamma"):
        LossConfig.from_dict({"by_task": {"action": {"gamma": 2}}})
    for config in (LossConfig(task_weights={"acton": 1.0}), LossConfig(by_task={"acton": LossOverrides()})):
        with pytest.raises(
            ConfigError, match="options for task 'acton', which is not trained; tasks: action, severity"
        ):
            config.resolved(["action", "severity"])
    with pytest.raises(ConfigError, match="every task weighs 0"):
        LossConfig(task_weights={"action": 0.0}).resolved(["action"])
