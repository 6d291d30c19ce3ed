"""What may happen to a disk: it fills up, it may not be written, its clock is set. Nothing is lost, nothing wrong."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord, commit, read_ledger
from fouls.cache.repair import repair
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.cache.summary import summarise
from fouls.cache.verify import verify
from fouls.errors import StoreError

from .conftest import SHAPES, fill, index, make_spec, tree
from .test_verify import edit, flip

Make = Callable[..., Store]


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond that: the system says so as it says that a quota is used up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def mount(*arguments: str) -> None:
    """Mount something, or skip the test."""
    if os.geteuid() != 0 or subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode:
        pytest.skip("needs leave to mount a file system")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=400k", "none", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that can't be written, as on a disk that was mounted so."""
    mount("--bind", str(folder), str(folder))
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


FULL = r"can't be written \(.*\): make room on its disk, or raise the quota; what is committed stays"


@pytest.mark.parametrize(
    "write",
    [
        lambda store: fill(store, 1, done=[4, 5, 6, 7]),
        lambda store: append_rows(store.path, index(12, ["new"])),
        lambda store: resize_arrays(store.path, 10),
        lambda store: commit(store.path, BlockRecord(block=1, done=[])),
        lambda store: create_group(
            store.path.parent / "other", spec=make_spec(), shapes=SHAPES, block_rows=4, made_by={}
        ),
    ],
    ids=["block", "index", "length", "record", "group"],
)
def test_a_disk_that_takes_no_more(store: Store, write: Callable[[Store], object]) -> None:
    """Whatever is written when it happens: what was there stays as it was, and afterwards the same goes through."""
    fill(store, 0, done=[0, 1, 2, 3])
    for pool in SHAPES:  # as between the index and the arrays of a planning
        edit(store.path / pool / "zarr.json", lambda array: array["shape"].__setitem__(0, 8))
    before = tree(store.path)
    with largest_file(16), pytest.raises(StoreError, match=FULL):
        write(store)
    assert tree(store.path) == before
    assert verify(store).whole
    write(store)
    resize_arrays(store.path, 10)
    assert verify(store).whole


def test_a_repair_on_a_disk_that_takes_no_more(store: Store) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    flip(store.path / "mean" / "c" / "0" / "0", 3)
    before = tree(store.path)
    with largest_file(16), pytest.raises(StoreError, match=FULL):
        repair(store.path)
    assert tree(store.path) == before
    assert repair(store.path).report.whole


def test_a_disk_that_fills_up_block_by_block(small_disk: Path) -> None:
    """Every block that was committed before is whole; with room the rest goes on from there."""
    path = small_disk / "store"
    rows, dim = 64, 512
    create_group(path, spec=make_spec(pools=("mean",)), shapes={"mean": (dim,)}, block_rows=4, made_by={})
    append_rows(path, index(0, [f"v{row}" for row in range(rows)]))
    resize_arrays(path, rows)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(280_000))
    store = open_store(path)

    def write(block: int) -> None:
        features = empty_features(store, block)
        features["mean"][:] = block
        BlockWriter(store).commit(features, BlockRecord(block=block, done=[[4 * block, 4 * block + 4]]))

    def write_all() -> None:
        for block in range(rows // 4):
            write(block)

    with pytest.raises(StoreError, match=r"No space left on device\): make room"):
        write_all()
    committed = len(store.ledger())
    assert 0 < committed < rows // 4
    assert verify(store).whole
    assert store.rows()["status"].to_pylist() == ["done"] * (4 * committed) + ["todo"] * (rows - 4 * committed)
    ballast.unlink()
    for block in range(committed, rows // 4):
        write(block)
    assert verify(store).findings == ()
    np.testing.assert_array_equal(store["mean"][:, 0], np.repeat(np.arange(rows // 4), 4))


def test_a_store_that_may_not_be_written_is_read_as_ever(store: Store) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    with read_only(store.path):
        assert verify(store).findings == ()
        assert summarise(store).done == 4
        assert (store["mean"][2] == 2).all()
        with pytest.raises(StoreError, match=r"\(Read-only file system\): make it writable, or use another --out"):
            fill(store, 1, done=[4, 5])
        with pytest.raises(StoreError, match="make it writable"):
            append_rows(store.path, index(12, ["new"]))
    assert verify(store).findings == ()


def test_a_repair_of_a_store_that_may_not_be_written(store: Store) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    flip(store.path / "mean" / "c" / "0" / "0", 3)
    with read_only(store.path), pytest.raises(StoreError, match=r"\(Read-only file system\): make it writable"):
        repair(store.path)


@pytest.mark.parametrize("position", ["first byte", "last byte", "cut", "empty"])
def test_a_broken_last_block_is_written_over(store: Store, position: str) -> None:
    """It is shorter than the others; writing it must not need what is there."""
    fill(store, 2, done=[8, 9])
    chunk = store.path / "mean" / "c" / "2" / "0"
    data = chunk.read_bytes()
    broken = {
        "first byte": bytes([data[0] ^ 1]) + data[1:],
        "last byte": data[:-1] + bytes([data[-1] ^ 1]),
        "cut": data[:7],
        "empty": b"",
    }
    chunk.write_bytes(broken[position])
    assert verify(store).damaged == (2,)
    fill(store, 2, done=[8, 9])
    assert verify(store).findings == ()


def test_a_clock_that_is_set_back_and_forward(store: Store) -> None:
    """Times are told and decide nothing: which rows are done, and in which order, does not depend on them."""
    for block in (0, 1, 2):
        fill(store, block, done=[4 * block, 4 * block + 1])
    times = [
        ("2026-01-01T10:00:00.000+00:00", "2026-01-01T10:00:04.000+00:00"),
        ("2026-01-01T10:00:04.000+00:00", "2026-01-01T08:30:00.000+00:00"),  # set back while it was done
        ("2031-07-01T00:00:00.000+00:00", "2031-07-01T00:00:01.000+00:00"),
    ]
    for record, (started, finished) in zip(read_ledger(store.path), times, strict=True):
        commit(store.path, replace(record, started_at=started, finished_at=finished))
    assert verify(store).findings == ()
    summary = summarise(store)
    assert (summary.done, summary.todo) == (6, 4)
    assert summary.rows_per_second == pytest.approx(4 / 5)  # of the two blocks of which the time is known
    fill(store, 0, done=[0, 1, 2, 3])
    assert store.rows()["status"].to_pylist()[:4] == ["done"] * 4


SECOND = """
import sys
from pathlib import Path
from fouls.cache.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_the_lock_of_a_process_that_dies_is_free(store: Store) -> None:
    """However it dies: the system drops it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", SECOND, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match=r"another `fouls extract` is filling .*: wait for it, or stop it"):
            repair(store.path)
        holder.kill()
    assert repair(store.path).report.whole
