"""Disks, other runs and damage, met by whole extractions: the store ends as that of an undisturbed run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fouls.cache.lock import exclusive
from fouls.cache.repair import repair
from fouls.cache.store import open_store
from fouls.cache.verify import verify
from fouls.errors import StoreError
from tests.cache.test_faults import mount, read_only
from tests.cache.test_verify import edit, flip

from .conftest import NUM_VIDEOS, Project
from .test_crash import command
from .test_extract import HOW_IT_WAS_ASKED_FOR, contents


def same_as_undisturbed(project: Project) -> bool:
    """Whether the store is that of a run of which nothing was heard; what a repair has set aside does not count."""
    project.extract("undisturbed", block_rows=1, batch_size=1)
    mine, other = (
        {
            name: data
            for name, data in contents(project.store(store)).items()
            if name not in HOW_IT_WAS_ASKED_FOR and not name.endswith(".broken")
        }
        for store in ("videomae", "undisturbed")
    )
    return mine == other


def test_two_extractions_of_one_store_at_the_same_time(project: Project) -> None:
    """The second is told, or comes when the first is done; no row is wrong."""
    line, pipe = command(project, "--device", "cpu"), subprocess.PIPE
    processes = [subprocess.Popen(line, cwd=project.path, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    ended = [(process, *process.communicate(timeout=300)) for process in processes]
    assert sorted(process.returncode for process, *_ in ended) in ([0, 0], [0, 2])
    for process, _, err in ended:
        if process.returncode:
            (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
            assert "another `fouls extract` is filling" in line
            assert line.endswith("wait for it, or stop it and start again")
    assert verify(project.store()).findings == ()
    assert same_as_undisturbed(project)


def test_what_the_second_is_told(project: Project) -> None:
    project.extract(limit=3)
    before = contents(project.store())
    with exclusive(project.store().path), pytest.raises(StoreError, match=r"another `fouls extract` is filling .*wait"):
        project.extract()
    assert contents(project.store()) == before


def test_a_disk_that_fills_up_while_it_is_extracted_to(project: Project) -> None:
    disk = project.path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=200k", "none", str(disk))
    one_by_one = {"out": disk / "store", "block_rows": 1, "batch_size": 1}
    try:
        (disk / "ballast").write_bytes(bytes(100_000))
        with pytest.raises(StoreError, match=r"No space left on device\): make room on its disk"):
            project.extract(**one_by_one)
        store = open_store(disk / "store")
        committed = store.rows()["status"].to_pylist().count("done")
        assert 0 < committed < NUM_VIDEOS
        assert verify(store).whole
        (disk / "ballast").unlink()
        assert project.extract(**one_by_one).summary.done == NUM_VIDEOS
        assert verify(store).findings == ()
        shutil.copytree(disk / "store", project.path / "cache" / "videomae")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert same_as_undisturbed(project)


def test_a_store_on_a_disk_that_may_not_be_written(project: Project) -> None:
    """With nothing to do that is no matter; with something to do it is one line."""
    project.extract()
    path = project.store().path
    (path / "mean" / "left.partial").write_bytes(b"by a run that was killed")
    with read_only(path):
        assert project.extract().summary.done == NUM_VIDEOS
        project.add_video("new")
        project.build()
        with pytest.raises(StoreError, match=r"\(Read-only file system\): make it writable, or use another --out"):
            project.extract()
    assert project.extract().summary.done == NUM_VIDEOS + 1
    assert verify(project.store()).findings == ()


def index_of(path: Path) -> Path:
    return sorted((path / "rows").glob("*.parquet"))[0]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a chunk": lambda path: flip(path / "mean" / "c" / "3" / "0", 5),
    "a chunk that is lost": lambda path: (path / "mean" / "c" / "3" / "0").unlink(),
    "an array's zarr.json": lambda path: edit(path / "mean" / "zarr.json", lambda array: array.update(fill_value=0.0)),
    "a record": lambda path: flip(path / "ledger" / "00000003.json", 40),
    "a record cut short": lambda path: (path / "ledger" / "00000003.json").write_bytes(b'{\n "block": 3,'),
    "the index": lambda path: flip(index_of(path), 100),
    "the index that is lost": lambda path: index_of(path).unlink(),
    "the attributes": lambda path: flip(path / "zarr.json", 100),
    "the attributes that are lost": lambda path: (path / "zarr.json").unlink(),
}
NOT_MET = {"a chunk", "a chunk that is lost", "an array's zarr.json"}
"""Damage to what an extraction does not read, when everything is done."""


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damage_is_found_mended_and_extracted_again(project: Project, damage: str) -> None:
    project.extract(block_rows=1, batch_size=1)
    path = project.store().path
    DAMAGE[damage](path)
    assert not verify(path).whole
    if damage not in NOT_MET:
        with pytest.raises(StoreError, match=r"fouls verify .* --repair`"):
            project.extract(block_rows=1, batch_size=1)
    assert repair(path).report.whole
    assert project.extract(block_rows=1, batch_size=1).summary.done == NUM_VIDEOS
    assert verify(path).whole
    for aside in path.rglob("*.broken"):
        aside.unlink()
    assert verify(path).findings == ()


def test_an_index_that_is_lost_for_good_is_not_planned_over(project: Project) -> None:
    """New rows would get the numbers, and with them the features, of those that nobody knows any more."""
    project.extract(block_rows=1, batch_size=1)
    path = project.store().path
    lost = index_of(path)
    for file in (lost, lost.with_name(f"{lost.name}.copy")):
        file.unlink()
    before = contents(project.store())
    with pytest.raises(StoreError, match=r"its row index ends before: a file of the index is lost; restore"):
        project.extract(block_rows=1, batch_size=1)
    assert contents(project.store()) == before


def test_a_chunk_that_was_damaged_is_extracted_to_the_same_bytes(project: Project) -> None:
    project.extract(block_rows=1, batch_size=1)
    flip(project.store().path / "mean" / "c" / "3" / "0", 5)
    repair(project.store().path)
    project.extract(block_rows=1, batch_size=1)
    assert same_as_undisturbed(project)
