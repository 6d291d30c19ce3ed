"""What ``fouls extract`` is told in words, as options of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fouls.errors import ConfigError

if TYPE_CHECKING:
    from fouls.pipeline.augment_options import AugmentOptions
    from fouls.pipeline.cluster_options import ClusterOptions


def parse_cluster(
    resource: str | None, wait: float | None, ca: Path | None, cert: Path | None, key: Path | None
) -> ClusterOptions | None:
    """How a cluster that stands is joined; ``None`` where nothing is said of it."""
    from fouls.pipeline.cluster_options import ClusterOptions

    given = {
        "worker_resource": resource,
        "worker_wait_seconds": wait,
        "tls_ca": ca,
        "tls_cert": cert,
        "tls_key": key,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return ClusterOptions(**chosen) if chosen else None


def parse_window(window: str | None) -> tuple[int, int] | None:
    """``63:87`` as frames.

    Raises:
        ConfigError: it is something else.
    """
    if window is None:
        return None
    start, colon, stop = window.partition(":")
    if not (colon and start.isdecimal() and stop.isdecimal()):
        raise ConfigError(f"--window is {window!r}; it must be START:STOP in frames, such as 63:87")
    return int(start), int(stop)


def parse_augment(
    passes: int | None,
    *,
    scale: str | None,
    ratio: str | None,
    flip: float | None,
    shift: int | None,
    seed: int | None,
) -> AugmentOptions | None:
    """How passes are augmented; ``None``: there are none.

    Raises:
        ConfigError: no bounds, or a way to augment without passes.
    """
    from fouls.pipeline.augment_options import AugmentOptions

    given = {
        "scale": _parse_bounds("--augment-scale", scale),
        "ratio": _parse_bounds("--augment-ratio", ratio),
        "flip": flip,
        "max_shift": shift,
        "seed": seed,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if passes is None:
        if chosen:
            option = next(iter(chosen)).removeprefix("max_")
            raise ConfigError(f"--augment-{option} says how passes are augmented: add --augment K for how many")
        return None
    return AugmentOptions(passes=passes, **chosen)


def _parse_bounds(option: str, bounds: str | None) -> tuple[float, float] | None:
    if bounds is None:
        return None
    lowest, _, highest = bounds.partition(":")
    try:
        return float(lowest), float(highest)
    except ValueError:
        raise ConfigError(f"{option} is {bounds!r}; it must be MIN:MAX, such as 0.5:1") from None
