"""What is used, and what is said, when weights can't be had. The hub is out of reach; its cache is a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import BackboneError, ConfigError, WeightsError, WeightsUnavailableError
from fouls.pipeline.extract import extract
from fouls.pipeline.fallback import FailedAttempt
from fouls.pipeline.options import ExecutorOptions, ExtractOptions
from fouls.pipeline.prepare import prepare
from tests.pipeline.backbones.hub_cache import cache, put
from tests.pipeline.conftest import NUM_VIDEOS, Project

__all__ = ["cache"]

VIDEOMAE = "MCG-NJU/videomae-base-finetuned-kinetics"


def default_weights(project: Project, backbone: str, *fallback: str, **changes: object) -> ExtractOptions:
    """Options of a user who types no ``--out`` and no ``--weights``."""
    return project.options(**{"backbone": backbone, "weights": None, "out": None, "fallback": fallback, **changes})


def test_the_first_whose_weights_can_be_had(project: Project, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    put(cache, VIDEOMAE, project.weights)
    said: list[FailedAttempt] = []
    prepared = prepare(
        default_weights(project, "mvit_v2_b", "dinov2_b", "videomae", "vit_b_augreg", pretrained_source="kinetics"),
        on_fallback=said.append,
    )
    assert [(attempt.backbone, attempt.following) for attempt in said] == [
        ("mvit_v2_b", "dinov2_b"),
        ("dinov2_b", "videomae"),
    ]
    first, second = map(str, said)
    assert first.startswith("mvit_v2_b is not used (no weights of mvit_v2_b to download: give --weights SlowFast's")
    assert "'facebook/dinov2-base' are not in the hub's cache and can't be had from the hub" in second
    assert second.endswith("; trying videomae next")
    assert prepared.options.store == Path("cache/videomae")
    assert prepared.spec.backbone == "videomae_d32_l2"
    assert prepared.spec.weights == prepare(project.options()).spec.weights
    assert extract(prepared).summary.done == NUM_VIDEOS
    remembered = project.store("videomae").made_by["options"]
    assert (remembered["backbone"], remembered["weights"], remembered["pretrained_source"]) == (
        "videomae",
        None,
        "auto",
    )


def test_out_names_the_store_all_the_same(project: Project, cache: Path) -> None:
    put(cache, VIDEOMAE, project.weights)
    options = default_weights(project, "dinov2_b", "videomae", out=project.path / "mine")
    with pytest.warns(UserWarning, match=r"dinov2_b is not used .* trying videomae next"):
        prepared = prepare(options)
    assert prepared.options.store == project.path / "mine"


def test_no_fallback_where_the_weights_can_be_had(project: Project, cache: Path) -> None:
    prepared = prepare(project.options(fallback=("dinov2_b",)))
    assert prepared.options == project.options(fallback=("dinov2_b",))


def test_without_the_option_nothing_falls_back(project: Project, cache: Path) -> None:
    put(cache, VIDEOMAE, project.weights)
    with pytest.raises(WeightsUnavailableError, match="'facebook/dinov2-base' are not in the hub's cache"):
        prepare(default_weights(project, "dinov2_b"))


def test_none_can_be_had(project: Project, cache: Path) -> None:
    said: list[FailedAttempt] = []
    with pytest.raises(WeightsUnavailableError) as caught:
        prepare(default_weights(project, "mvit_v2_b", "videomae_giant", "videomae"), on_fallback=said.append)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(
        f"no weights can be had of any of mvit_v2_b, videomae_giant, videomae; of the last: weights '{VIDEOMAE}'"
    )
    assert len(said) == 2


def test_weights_that_are_not_there(project: Project, cache: Path, tmp_path: Path) -> None:
    put(cache, VIDEOMAE, project.weights)
    options = default_weights(project, "swin3d_t", "videomae", weights=str(tmp_path / "swin.pth"))
    with pytest.warns(UserWarning, match=r"swin\.pth': there is no such file or folder\); trying videomae next"):
        assert prepare(options).recipe.weights is None


def test_damaged_weights_end_the_search(project: Project, cache: Path) -> None:
    damaged = project.path / "damaged.pth"
    damaged.write_bytes(b"PK\3\4 and no more")
    put(cache, VIDEOMAE, project.weights)
    with pytest.raises(WeightsError, match="can't be read") as caught:
        prepare(default_weights(project, "swin3d_t", "videomae", weights=str(damaged)))
    assert not isinstance(caught.value, WeightsUnavailableError)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"pools": ("mean", "tokens")},
            BackboneError,
            "--fallback vit_b_augreg has no pool 'tokens'; it has mean, temp",
        ),
        ({"fallback": ("videomae", "vit_b_agreg")}, BackboneError, r"did you mean vit_b_augreg\?"),
        ({"fallback": ("videomae", "")}, ConfigError, "--fallback is 'videomae,'; it must be names with commas"),
        ({"num_frames": 10}, BackboneError, "videomae takes 8 frames a clip, not 10"),
    ],
)
def test_what_can_not_work(
    project: Project, cache: Path, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    put(cache, VIDEOMAE, project.weights)
    with pytest.raises(error, match=message):
        prepare(
            default_weights(project, "dinov2_b", **{"fallback": ("videomae", "vit_b_augreg"), **changes}),
            on_fallback=lambda attempt: None,
        )


def test_a_cluster_loads_what_is_used(project: Project, cache: Path) -> None:
    put(cache, VIDEOMAE, project.weights)
    options = default_weights(project, "dinov2_b", "videomae", executor=ExecutorOptions(workers=2))
    prepared = prepare(options, on_fallback=lambda attempt: None)
    assert prepared.recipe.name == "videomae"
    assert prepared.recipe.load().weights == prepared.backbone.weights
