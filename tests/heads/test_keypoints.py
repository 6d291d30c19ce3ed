"""Features of the pose beside numpy, one frame at a time; keypoints regressed beside tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, InputForm
from fouls.heads.keypoints import MOUSE_KEYPOINTS, KeypointOutput, pose_features, visible
from fouls.heads.losses.keypoints import keypoint_loss
from fouls.heads.registry import make_head_config
from fouls.heads.tasks import Task

PAIRS = "01 02 03 14 15 24 35 23"
TRIPLES = "102 103 014 015 024 035 124 135 203 415"


def frames(count: int = 50, *, seen: float = 1.0) -> npt.NDArray[np.float32]:
    """(count, 6, 3) keypoints, of which a share is likely enough."""
    rng = np.random.default_rng(0)
    keypoints = rng.random((count, 6, 3)).astype(np.float32)
    keypoints[..., 2] = np.where(rng.random((count, 6)) < seen, 0.95, 0.85)
    return keypoints


def by_hand(frame: npt.NDArray[np.float32]) -> list[float]:
    """The 18 features of one frame, angles by the law of cosines."""
    points = frame[:, :2].astype(np.float64)
    there = frame[:, 2] >= 0.9
    features = []
    for first, second in ([int(digit) for digit in pair] for pair in PAIRS.split()):
        features.append(float(np.hypot(*(points[first] - points[second]))) if there[[first, second]].all() else 0.0)
    for centre, a, b in ([int(digit) for digit in triple] for triple in TRIPLES.split()):
        if not there[[centre, a, b]].all():
            features.append(0.0)
            continue
        ca, cb, ab = (np.linalg.norm(points[i] - points[j]) for i, j in ((centre, a), (centre, b), (a, b)))
        features.append(float(np.arccos(np.clip((ca**2 + cb**2 - ab**2) / (2 * ca * cb), -1, 1))))
    return features


@pytest.mark.parametrize("seen", [1.0, 0.7])
def test_the_18_features_of_a_mouse(seen: float) -> None:
    keypoints = frames(seen=seen)
    features = pose_features(torch.from_numpy(keypoints), "mouse", MOUSE_KEYPOINTS)
    assert features.shape == (50, 18)
    np.testing.assert_allclose(features.numpy(), [by_hand(frame) for frame in keypoints], atol=2e-4)


def test_angles_are_exact_at_0_and_at_pi() -> None:
    keypoints = torch.full((1, 6, 3), 1.0)
    keypoints[0, :, :2] = torch.tensor([[0.3, 0.3], [0.1, 0.1], [0.5, 0.5], [0.2, 0.2], [0.4, 0.1], [0.1, 0.4]])
    features = pose_features(keypoints, "mouse", MOUSE_KEYPOINTS)[0, 8:].tolist()
    angles = dict(zip(TRIPLES.split(), features, strict=True))
    assert angles["102"] == 0  # from the tail's base, mouth and left front paw lie in one direction
    assert angles["103"] == 0
    assert angles["203"] == 0
    assert angles["014"] == pytest.approx(np.arccos(1 / 10**0.5))  # between (-1, -1) and (1, -2)
    keypoints[0, 2, :2] = torch.tensor([0.0, 0.0])  # now behind the tail's base
    features = pose_features(keypoints, "mouse", MOUSE_KEYPOINTS)[0, 8:].tolist()
    assert dict(zip(TRIPLES.split(), features, strict=True))["102"] == pytest.approx(np.pi, rel=1e-7)


def test_a_keypoint_without_a_place_is_missing() -> None:
    keypoints = torch.from_numpy(frames(2))
    keypoints[0, 3, 0] = torch.nan
    keypoints[1, 3, 2] = torch.nan
    keypoints[1, 4, 2] = 0.9  # just likely enough
    assert visible(keypoints).tolist() == [[True, True, True, False, True, True]] * 2
    features = pose_features(keypoints, "mouse", MOUSE_KEYPOINTS)
    needs_3 = [("3" in name) for name in (*PAIRS.split(), *TRIPLES.split())]
    assert (features == 0).tolist() == [needs_3] * 2
    coordinates = pose_features(keypoints, "coordinates", MOUSE_KEYPOINTS)
    assert (coordinates == 0).nonzero().tolist() == [[0, 6], [0, 7], [1, 6], [1, 7]]
    np.testing.assert_array_equal(coordinates[0, :6].numpy(), keypoints[0, :3, :2].reshape(-1).numpy())


def test_features_of_a_mouse_need_a_mouse() -> None:
    with pytest.raises(ConfigError, match=r"pose 'mouse' needs the keypoints mouth, .* the manifest has nose"):
        pose_features(torch.zeros(1, 1, 3), "mouse", ["nose"])
    assert pose_features(torch.ones(4, 1, 3), "coordinates", ["nose"]).shape == (4, 2)


def test_the_output_is_that_of_the_mouse_tcn() -> None:
    output = KeypointOutput(12, 4)
    assert [type(layer).__name__ for layer in output.layers] == ["Linear", "GELU", "Dropout", "Linear", "Sigmoid"]
    x = torch.randn(2, 3, 12)
    first, last = output.layers[0], output.layers[3]
    hidden = torch.nn.functional.gelu(x @ first.weight.T + first.bias)  # type: ignore[operator]
    expected = (hidden @ last.weight.T + last.bias).sigmoid()  # type: ignore[operator]
    assert expected.shape == (2, 3, 8)
    torch.testing.assert_close(output.eval()(x).flatten(2), expected)
    torch.testing.assert_close(output(x)[..., 2, 1], expected[..., 5])  # y of the third keypoint


@pytest.mark.parametrize(("name", "small"), [("tcn", {"hidden": 16}), ("ms_tcn", {"num_maps": 16, "num_layers": 2})])
def test_keypoints_that_follow_from_the_features_are_regressed(name: str, small: dict[str, Any]) -> None:
    torch.manual_seed(0)
    tasks = (Task(name="do", classes=("a", "b"), per_frame=True),)
    form = InputForm(widths=(4,), num_steps=8, num_keypoints=2)
    config = make_head_config(name, {**small, "keypoints": True, "dropout": 0.0, "standardise": False})
    head = config.resolved(form, tasks).build(form, tasks)
    x = torch.randn(64, 1, 8, 4)
    truth = x.sigmoid().reshape(64, 1, 8, 2, 2)
    batch = Batch(x=x, mask=torch.ones(64, 1, 8, dtype=torch.bool), view_kinds=torch.zeros(64, 1, dtype=torch.int64))
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    count = torch.ones(64 * 8, 2, dtype=torch.bool)
    for _ in range(60):
        keypoints = head(batch).extras.keypoints
        loss = keypoint_loss(keypoints.reshape(-1, 2, 2), truth.reshape(-1, 2, 2), count)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    error = (head.eval()(batch).extras.keypoints - truth).abs().mean()
    assert error < 0.04
    assert (truth - truth.mean(dim=(0, 1, 2))).abs().mean() > 0.15  # what the mean keypoint would be off by
