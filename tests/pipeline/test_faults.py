"""Disks, other runs and damage, met by whole extractions: the store ends as that of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from fouls.cache.failures import failures
from fouls.cache.lock import exclusive
from fouls.cache.repair import repair
from fouls.cache.store import open_store
from fouls.cache.verify import verify
from fouls.errors import ManifestError, StoreError
from fouls.pipeline.extract import extract
from fouls.pipeline.prepare import prepare
from tests.cache.test_faults import mount, read_only
from tests.cache.test_verify import edit, flip

from .conftest import NUM_VIDEOS, Project
from .test_crash import command
from .test_extract import HOW_IT_WAS_ASKED_FOR, contents

ONE_BY_ONE: dict[str, Any] = {"block_rows": 1, "batch_size": 1}


def same_as_undisturbed(project: Project) -> bool:
    """Whether the store is that of a run of which nothing was heard; what a repair has set aside does not count."""
    project.extract("undisturbed", **ONE_BY_ONE)
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
    try:
        (disk / "ballast").write_bytes(bytes(100_000))
        with pytest.raises(StoreError, match=r"No space left on device\): make room on its disk"):
            project.extract(**ONE_BY_ONE, out=disk / "store")
        store = open_store(disk / "store")
        committed = store.rows()["status"].to_pylist().count("done")
        assert 0 < committed < NUM_VIDEOS
        assert verify(store).whole
        (disk / "ballast").unlink()
        assert project.extract(**ONE_BY_ONE, out=disk / "store").summary.done == NUM_VIDEOS
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


def test_videos_that_change_while_they_are_extracted(project: Project) -> None:
    """One is cut short, one deleted, one replaced by as many other bytes: each costs its own row, and is mended."""
    paths = {name: project.videos / f"{name}.mp4" for name in ("v7", "v8", "v9")}
    sound = {name: (path.read_bytes(), path.stat().st_mtime_ns) for name, path in paths.items()}

    def change(*_: object) -> None:
        if not paths:
            return
        for path in paths.values():
            path.unlink()  # the fixture's files are links
        cut, _, replaced = paths.values()
        cut.write_bytes(sound["v7"][0][:1000])
        replaced.write_bytes(sound["v9"][0][:-1] + b"x")
        paths.clear()

    extract(prepare(project.options(**ONE_BY_ONE)), on_block=change)
    found = {row["video_id"]: row["code"] for row in failures(project.store()).to_pylist()}
    assert found == {"v7": "changed", "v8": "unreadable", "v9": "changed"}
    for name, (data, modified_ns) in sound.items():
        path = project.videos / f"{name}.mp4"
        path.write_bytes(data)
        os.utime(path, ns=(modified_ns, modified_ns))
    assert project.extract(**ONE_BY_ONE, retry_failed=True).summary.done == NUM_VIDEOS
    assert same_as_undisturbed(project)


def test_a_manifest_that_changes_while_it_is_extracted_from(project: Project) -> None:
    """The run has read it, and goes on with what it read; the next one plans what is new."""
    manifest = project.path / "manifests" / "videos.parquet"

    def spoil(*_: object) -> None:
        manifest.write_bytes(b"PAR1 and the rest of it not yet written")

    prepared = prepare(project.options(**ONE_BY_ONE))
    assert extract(prepared, on_block=spoil).summary.done == NUM_VIDEOS
    with pytest.raises(ManifestError, match=r"videos\.parquet"):
        project.extract(**ONE_BY_ONE)
    manifest.unlink()
    (project.videos / "v0.mp4").unlink()
    project.add_video("w")
    project.build()
    report = project.extract(**ONE_BY_ONE)
    assert (report.new_rows, report.summary.done) == (1, NUM_VIDEOS + 1)  # v0's feature outlives its line


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the decoding processes in /proc")
def test_decoding_processes_that_are_killed_cost_rows_that_a_retry_brings_back(project: Project) -> None:
    """As when memory is short and the system chooses one of them."""
    killed: list[int] = []

    def kill(*_: object) -> None:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.parent() != psutil.Process() and len(killed) < 6:
                    process.kill()
                    killed.append(process.pid)

    report = extract(prepare(project.options(**ONE_BY_ONE)), on_block=kill)
    assert killed
    assert report.summary.done + report.summary.failed == NUM_VIDEOS
    assert report.summary.failed <= len(killed)
    assert {row["code"] for row in failures(project.store()).to_pylist()} <= {"decoder_crashed"}
    assert project.extract(**ONE_BY_ONE, retry_failed=True).summary.done == NUM_VIDEOS
    assert same_as_undisturbed(project)


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
    project.extract(**ONE_BY_ONE)
    path = project.store().path
    DAMAGE[damage](path)
    assert not verify(path).whole
    if damage not in NOT_MET:
        with pytest.raises(StoreError, match=r"fouls verify .* --repair`"):
            project.extract(**ONE_BY_ONE)
    assert repair(path).report.whole
    assert project.extract(**ONE_BY_ONE).summary.done == NUM_VIDEOS
    assert verify(path).whole
    for aside in path.rglob("*.broken"):
        aside.unlink()
    assert verify(path).findings == ()


def test_an_index_that_is_lost_for_good_is_not_planned_over(project: Project) -> None:
    """New rows would get the numbers, and with them the features, of those that nobody knows any more."""
    project.extract(**ONE_BY_ONE)
    path = project.store().path
    lost = index_of(path)
    for file in (lost, lost.with_name(f"{lost.name}.copy")):
        file.unlink()
    before = contents(project.store())
    with pytest.raises(StoreError, match=r"its row index ends before: a file of the index is lost; restore"):
        project.extract(**ONE_BY_ONE)
    assert contents(project.store()) == before


def test_a_chunk_that_was_damaged_is_extracted_to_the_same_bytes(project: Project) -> None:
    project.extract(**ONE_BY_ONE)
    flip(project.store().path / "mean" / "c" / "3" / "0", 5)
    repair(project.store().path)
    project.extract(**ONE_BY_ONE)
    assert same_as_undisturbed(project)
