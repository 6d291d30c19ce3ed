"""What follows from measurements, computed from the parts by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fouls.pipeline.benchmark.result import BenchResult
from fouls.pipeline.benchmark.stages import Decoding, DecodingCost
from fouls.pipeline.benchmark.timing import Timing


def timing(*seconds: float, num_clips: int = 10) -> Timing:
    return Timing(num_clips=num_clips, seconds=seconds)


def result(**changes: Any) -> BenchResult:
    """On two cores, one of which decodes; a clip takes 20 ms to read, 10 ms to scale and 400 ms to encode."""
    costs = tuple(DecodingCost(read=read, preprocess=0.010, cores=0.032) for read in (0.020, 0.018, 0.090))
    fields: dict[str, Any] = {
        "backbone": "videomae_base",
        "device": "cpu",
        "precision": "bf16",
        "fast_precision": True,
        "batch_size": 4,
        "cores": 2,
        "decoding": Decoding(together=timing(0.30, 0.28, 1.0), costs=costs, workers=1),
        "forward": timing(1.6, 1.6, 1.5, num_clips=4),
        "writing": timing(0.02, 0.01, 0.03),
        "extract": timing(4.2, 4.4, 4.3),
        "multiply_adds": 180_000_000_000,
        "peak_flops": 1.2e12,
        "compile_seconds": None,
    }
    return BenchResult(**(fields | changes))


def test_a_timing_is_its_median_and_its_spread() -> None:
    found = timing(2.0, 4.0, 2.5)
    assert (found.clips_per_second, found.slowest, found.fastest) == (4.0, 2.5, 5.0)
    assert found.seconds_a_clip == 0.25


def test_on_a_cpu_the_stages_share_the_cores() -> None:
    found = result()
    assert found.limit == pytest.approx(1 / (0.4 + 0.032 / 2))
    assert found.of_limit == pytest.approx(10 / 4.3 * (0.4 + 0.016))
    assert found.of_forward == pytest.approx(10 / 4.3 * 0.4)
    assert found.shares == pytest.approx(
        {"decoding": 0.016 * 2 / 3, "preprocessing": 0.016 / 3, "forward": 0.4, "writing": 0.002}
    )
    assert found.bottleneck == "forward"
    assert found.flops == pytest.approx(2 * 180e9 * 2.5)
    assert found.of_peak == pytest.approx(0.75)


def test_on_a_gpu_the_slowest_stage_is_the_limit() -> None:
    found = result(device="cuda", cores=16, forward=timing(0.04, num_clips=4))
    assert found.limit == pytest.approx(1 / 0.030)
    assert found.bottleneck == "decoding"
    assert found.decoding_cores == pytest.approx(3.2)  # 32 ms of a core in the 10 ms of a forward pass
    assert found.advice[0] == "--decode-workers 15: 1 of 16 cores decode"
    assert result(device="cuda").limit == pytest.approx(1 / 0.4)
    slow_disk = result(device="cuda", writing=timing(9.0))
    assert (slow_disk.limit, slow_disk.bottleneck) == (pytest.approx(1 / 0.9), "writing")
    assert "--out" in slow_disk.advice[0]


def test_decoding_alone_is_by_all_processes() -> None:
    decoding = Decoding(
        together=timing(0.1), costs=(DecodingCost(read=0.02, preprocess=0.01, cores=0.03),) * 3, workers=4
    )
    assert decoding.alone("read").clips_per_second == pytest.approx(4 / 0.02)
    assert decoding.alone("preprocess").clips_per_second == pytest.approx(4 / 0.01)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, "nothing: the backbone keeps the cores busy"),
        ({"precision": "fp32", "fast_precision": False}, "--precision bf16"),
        ({"device": "cuda", "peak_flops": 3e12}, "a larger --batch-size than 4"),
        ({"device": "cuda"}, "nothing: the backbone keeps the device busy"),
        ({"forward": timing(0.01)}, "--decode-workers 2: 1 of 2 cores decode"),
    ],
)
def test_advice_is_about_the_bottleneck(changes: dict[str, Any], advice: str) -> None:
    found = result(**changes)
    assert found.advice[0].startswith(advice)


def test_stages_that_do_not_overlap_are_told() -> None:
    assert len(result().advice) == 1
    waiting = result(extract=timing(8.0))
    assert waiting.of_limit == pytest.approx(0.52)
    assert len(waiting.advice) == 1  # not that nothing is to be changed
    assert "the whole reaches 52% of what its parts allow" in waiting.advice[0]
    slow = result(extract=timing(8.0), precision="fp32", fast_precision=False)
    assert "--precision bf16" in slow.advice[0]
    assert "the whole reaches 52%" in slow.advice[1]
