"""The output layers that all heads share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.heads.linear import LinearConfig
from fouls.heads.outputs import TaskOutputs, output_layer
from fouls.heads.tasks import Task

TASKS = (Task(name="a.b", classes=("x", "y", "z")), Task(name="keys", classes=("p", "q")))


def test_the_kinds_of_outputs() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    for kind in ("linear", "arcface", "arcface_published"):
        config = LinearConfig(output=kind, output_scale=12.0, output_margin=0.3)  # type: ignore[arg-type]
        layer = output_layer(config, 6, 3)
        given = x.numpy().astype(np.float64)
        weight = next(layer.parameters()).detach().numpy().astype(np.float64)
        lengths = np.linalg.norm(given, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
        angles = np.arccos(given @ weight.T / lengths)
        expected = {
            "linear": given @ weight.T + (layer.bias.detach().numpy() if isinstance(layer, torch.nn.Linear) else 0.0),
            "arcface": 12 * np.cos(angles),
            "arcface_published": 12 * np.cos(angles + 0.3),
        }
        np.testing.assert_allclose(layer(x).detach().numpy(), expected[kind], rtol=1e-4, atol=1e-4)


def test_every_task_has_its_own() -> None:
    outputs = TaskOutputs(LinearConfig(), 6, TASKS)
    x = torch.randn(2, 5, 6)
    logits = outputs(x)
    assert {name: tuple(values.shape) for name, values in logits.items()} == {"a.b": (2, 5, 3), "keys": (2, 5, 2)}
    layer = outputs["task:keys"]
    torch.testing.assert_close(logits["keys"], x @ layer.weight.T + layer.bias)  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["arcface", "arcface_published"])
def test_cosines_do_not_depend_on_the_length_of_the_features(kind: str) -> None:
    layer = output_layer(LinearConfig(output=kind), 6, 3)  # type: ignore[arg-type]
    x = torch.randn(4, 6)
    torch.testing.assert_close(layer(7 * x), layer(x), rtol=1e-4, atol=1e-4)
