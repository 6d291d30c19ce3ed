"""Pools are read as Zarr reads them, whatever rows are wanted; what is damaged is named; large ones lie in a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import zarr

from fouls.cache.store import Store
from fouls.errors import DamagedStoreError, RunError, StoreError
from fouls.heads.chunk_files import ChunkFiles
from fouls.heads.data import DataOptions, load_samples
from fouls.heads.memory import allocate, available_bytes, is_mapped
from fouls.heads.read_pool import all_finite, read_pool
from fouls.heads.tasks import tasks_to_train
from tests.heads.worlds import BLOB_TASKS, BLOCK_ROWS, Clip, Video, blobs, make_manifest, make_store

NUM_ROWS = 3 * BLOCK_ROWS + 5


def store_of(folder: Path, dtype: str = "float16", failed: tuple[int, ...] = ()) -> Store:
    """29 rows of noise in four blocks, the last not full."""
    rng = np.random.default_rng(0)
    videos = [
        Video(
            video_id=f"v{row}",
            clips=[
                Clip(
                    features={"mean": rng.standard_normal(6), "temporal": rng.standard_normal((4, 6))},
                    status="failed" if row in failed else "done",
                )
            ],
        )
        for row in range(NUM_ROWS)
    ]
    return make_store(folder / "store", videos, stored_dtype=dtype)


def read(store: Store, pool: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
    return read_pool(store, pool, rows, pa.chunked_array([[f"v{row}" for row in rows]]))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_any_rows_in_any_order(tmp_path: Path, dtype: str) -> None:
    store = store_of(tmp_path, dtype, failed=(3, 17))
    assert ChunkFiles.of(store, "temporal") is not None
    rng = np.random.default_rng(1)
    done = np.setdiff1d(np.arange(NUM_ROWS), [3, 17])
    for rows in (done, done[::-1], rng.permutation(done), done[8:10], rng.permutation(done)[:7], np.roll(done, 5)):
        for pool in ("mean", "temporal"):
            expected = np.asarray(store[pool][:])[rows]
            found = read(store, pool, rows)
            assert found.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(found, expected.reshape(len(rows), -1, 6))


def test_another_layout_is_left_to_zarr(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    values = np.asarray(store["temporal"][:])
    shutil.rmtree(store.path / "temporal")
    zarr.open_group(store.path, mode="r+").create_array("temporal", data=values, chunks=(BLOCK_ROWS, 4, 6))
    assert ChunkFiles.of(store, "temporal") is None
    rows = np.random.default_rng(0).permutation(NUM_ROWS)
    np.testing.assert_array_equal(read(store, "temporal", rows), values[rows])
    (store.path / "temporal" / "c" / "1" / "0" / "0").write_bytes(b"no zstd")
    with pytest.raises(DamagedStoreError, match=r"block 1 of pool 'temporal' .* can't be read .*`fouls verify"):
        read(store, "temporal", rows)


@pytest.mark.parametrize("rows", [np.arange(NUM_ROWS), np.array([20, 9])], ids=["whole", "some"])
def test_a_damaged_chunk_is_named(tmp_path: Path, rows: npt.NDArray[np.int64]) -> None:
    store = store_of(tmp_path)
    path = store.path / "temporal" / "c" / "1" / "0" / "0"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[77] ^= 4
    for damaged, reason in (
        (bytes(flipped), "is damaged, its CRC-32C does not match"),
        (whole[:-1], "has another length than a chunk"),
        (whole + b"x", "has another length than a chunk"),
        (b"", "has another length than a chunk"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DamagedStoreError, match=rf"temporal/c/1/0/0 {reason}: `fouls verify {store.path}`"):
            read(store, "temporal", rows)
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedStoreError, match="can't be read"):
        read(store, "temporal", rows)
    path.rmdir()
    with pytest.raises(StoreError, match=r"row (8|9) .* is said to be done but is not finite"):
        read(store, "temporal", rows)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_finite_is_what_numpy_says(dtype: str) -> None:
    limits = np.finfo(dtype)
    values = np.array([0.0, -0.0, limits.max, limits.min, limits.tiny, -limits.smallest_subnormal], dtype=dtype)
    assert all_finite(values)
    assert all(all_finite(values[place : place + 1]) for place in range(len(values)))
    for value in (np.inf, -np.inf, np.nan, np.copysign(np.nan, -1)):
        for place in range(len(values)):
            assert not all_finite(np.insert(values, place, value))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_chunks_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """The 384 or 768 bytes of a chunk in pieces of 100: the last one is shorter."""
    monkeypatch.setattr("fouls.heads.chunk_files._PIECE_BYTES", 100)
    store, rows = store_of(tmp_path, dtype), np.arange(NUM_ROWS)
    np.testing.assert_array_equal(read(store, "temporal", rows), np.asarray(store["temporal"][:]))
    path = store.path / "temporal" / "c" / "1" / "0" / "0"
    whole = path.read_bytes()
    for damaged in (whole[:99], whole[:150], whole[:-1], whole + b"0", whole[:250] + b"\xff" + whole[251:]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedStoreError, match=r"another length|does not match"):
            read(store, "temporal", rows)


def test_reads_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do on a network or when a signal comes: five bytes at most a call, of 384 and their checksum."""
    readv = os.readv
    lengths = []

    def read_a_little(descriptor: int, buffers: Sequence[npt.NDArray[np.uint8]]) -> int:
        first = next(buffer for buffer in buffers if len(buffer))
        lengths.append(readv(descriptor, [memoryview(first)[:5]]))
        return lengths[-1]

    store, rows = store_of(tmp_path), np.arange(NUM_ROWS)
    expected = np.asarray(store["temporal"][:])
    monkeypatch.setattr("os.readv", read_a_little)
    np.testing.assert_array_equal(read(store, "temporal", rows), expected)
    assert set(lengths) == {4, 5}
    assert sum(lengths) == 4 * (BLOCK_ROWS * 4 * 6 * 2 + 4)
    path = store.path / "temporal" / "c" / "1" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DamagedStoreError, match="has another length than a chunk"):
        read(store, "temporal", rows)


@pytest.mark.parametrize("share_bytes", [1, 2 * BLOCK_ROWS * 4 * 6 * 2, 1 << 20])
def test_threads_share_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_bytes: int) -> None:
    """A block, two or all at once: every row comes to its place, and of several bad rows the first is named."""
    monkeypatch.setattr("fouls.heads.read_pool._SHARE_BYTES", share_bytes)
    store = store_of(tmp_path)
    expected = np.asarray(store["temporal"][:])
    rng = np.random.default_rng(2)
    orders = [np.arange(NUM_ROWS), np.roll(np.arange(NUM_ROWS), 11), rng.permutation(NUM_ROWS)]
    for rows in orders:
        np.testing.assert_array_equal(read(store, "temporal", rows), expected[rows])
    array = zarr.open_group(store.path, mode="r+")["temporal"]
    assert isinstance(array, zarr.Array)
    array[26, 0, 0] = array[12, 1, 2] = np.nan
    (store.path / "temporal" / "c" / "2" / "0" / "0").unlink()  # all of rows 16 … 23
    for first, expected_row in ((0, 12), (13, 16), (24, 26)):
        for rows in orders:
            with pytest.raises(StoreError, match=rf"row {expected_row} \(.*is not finite"):
                read(store, "temporal", rows[rows >= first])


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (store.path / "temporal" / "zarr.json").write_bytes(b"{")
    with pytest.raises(DamagedStoreError, match=r"temporal/zarr.json is not what was written there"):
        read(store, "temporal", np.arange(NUM_ROWS))


@pytest.mark.parametrize("rows", [np.arange(NUM_ROWS), np.array([20, 9])], ids=["whole", "some"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_row_that_is_not_finite_is_named(tmp_path: Path, value: float, rows: npt.NDArray[np.int64]) -> None:
    store = store_of(tmp_path)
    array = zarr.open_group(store.path, mode="r+")["temporal"]
    assert isinstance(array, zarr.Array)
    array[9, 3, 5] = value
    with pytest.raises(StoreError, match=r"row 9 \(video_id 'v9'\) of pool 'temporal' .* is not finite"):
        read(store, "temporal", rows)


def test_what_memory_does_not_hold_lies_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small, large = (allocate((5, 3), np.float16, memory_bytes=limit) for limit in (30, 29))
    assert (is_mapped(small), is_mapped(large)) == (False, True)
    assert allocate((5 << 20,), np.uint8, memory_bytes=1 << 30).ctypes.data % (2 << 20) == 0
    large[:] = 7
    assert large.sum() == 105
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunError, match=r"the features take 2048.0 GiB: .*set TMPDIR to a folder with room"):
        allocate((2**40,), np.float16, memory_bytes=2**30)
    assert 0 < available_bytes() < 2**50


def test_samples_are_the_same_from_memory_and_from_a_file(tmp_path: Path) -> None:
    videos = blobs({"train": 20}, views=2)
    stores = [make_store(tmp_path / name, videos) for name in ("a", "b")]
    manifest = make_manifest(videos, BLOB_TASKS)
    for chosen, pools in ((stores[:1], ("temporal",)), (stores, ("temporal", "mean"))):
        found = [
            load_samples(
                chosen,
                manifest,
                DataOptions(pools=pools, tasks=tasks_to_train(manifest), memory_bytes=limit),
                splits=["train"],
            )
            for limit in (None, 0)
        ]
        assert [data.mapped_bytes for data in found] == [0, 40 * 4 * 12 * 2 * len(chosen)]
        assert found[0].samples.values.equal(found[1].samples.values)
