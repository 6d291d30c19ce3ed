from __future__ import annotations

import pytest

from fouls.cache.failures import FAILURE_SCHEMA, failures
from fouls.cache.ledger import BlockRecord, RowFailure, commit
from fouls.cache.quarantine import Retry, failed_again, is_quarantined
from fouls.cache.rows import append_rows
from fouls.cache.store import Store
from fouls.cache.summary import summarise
from fouls.errors import ConfigError, VideoError

from .conftest import index


def failure(*codes: str, row: int = 0) -> RowFailure:
    """A row that failed with these classes of error, one attempt after the other."""
    failed: RowFailure | None = None
    for code in codes:
        failed = failed_again(failed, row=row, video_id=f"v{row}", error=VideoError(code, "why"))
    assert failed is not None
    return failed


@pytest.mark.parametrize(
    ("codes", "quarantined"),
    [
        (["decoder_crashed"], False),
        (["decoder_crashed"] * 2, True),
        (["timeout"] * 2, False),
        (["timeout"] * 3, True),
        (["timeout", "decoder_crashed"], True),
        (["decode_error"] * 9 + ["decoder_crashed"], False),
        (["decoder_crashed"] * 2 + ["decode_error"], False),
    ],
)
def test_what_keeps_killing_the_decoder_is_quarantined(codes: list[str], quarantined: bool) -> None:
    found = failure(*codes)
    assert found.attempts == len(codes)
    assert is_quarantined(found) == quarantined


def test_a_retry_leaves_alone_what_it_is_not_asked_for() -> None:
    crashed, late, broken = failure("decoder_crashed", "decoder_crashed"), failure("timeout"), failure("decode_error")
    everything = [crashed, late, broken]
    assert [Retry().wants(failed) for failed in everything] == [False, True, True]
    assert [Retry(include_quarantined=True).wants(failed) for failed in everything] == [True, True, True]
    assert [Retry(only=("timeout",)).wants(failed) for failed in everything] == [False, True, False]
    only_crashes = Retry(only=("decoder_crashed",), include_quarantined=True)
    assert [only_crashes.wants(failed) for failed in everything] == [True, False, False]


def test_a_class_that_does_not_exist() -> None:
    with pytest.raises(
        ConfigError, match="--only is 'late'; allowed: unreadable, no_video_stream, decode_error, timeout"
    ):
        Retry(only=("late",))


def test_the_ledger_as_a_table(store: Store) -> None:
    commit(
        store.path,
        BlockRecord(
            block=1,
            done=[],
            failures=(
                RowFailure(row=4, video_id="v4", code="decode_error", message="m", decoder="pyav", last_good_frame=7),
                failure("decoder_crashed", "decoder_crashed", row=5),
                failure("timeout", row=6),
            ),
        ),
    )
    append_rows(store.path, index(12, ["v6"], content_hash="h2"))  # retires row 6
    table = failures(store)
    assert table.schema == FAILURE_SCHEMA
    assert table.select(["row", "video_id", "sample_id", "code", "attempts", "quarantined"]).to_pylist() == [
        {"row": 4, "video_id": "v4", "sample_id": "v4", "code": "decode_error", "attempts": 1, "quarantined": False},
        {"row": 5, "video_id": "v5", "sample_id": "v5", "code": "decoder_crashed", "attempts": 2, "quarantined": True},
    ]
    assert table["last_good_frame"].to_pylist() == [7, None]
    summary = summarise(store)
    assert (summary.failed, summary.quarantined, summary.retired) == (2, 1, 1)


def test_a_retired_row_counts_for_nothing(store: Store) -> None:
    record = BlockRecord(block=1, done=[], failures=(failure("decoder_crashed", "decoder_crashed", row=5),))
    commit(store.path, record)
    append_rows(store.path, index(12, ["v5"], content_hash="h2"))
    assert summarise(store).quarantined == 0
    assert failures(store).num_rows == 0
