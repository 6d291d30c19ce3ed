"""Isolation: what hangs or dies costs its own call, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from fouls.errors import ConfigError, ExecutorError, VideoError
from fouls.video.isolation import STARTS, IsolatedPool
from tests.video import calls

REPOSITORY = Path(__file__).parents[2]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_results_come_from_other_processes_in_the_order_of_their_futures() -> None:
    with IsolatedPool(2, 30) as pool:
        futures = [pool.submit(calls.double, number) for number in range(20)]
        assert [future.result() for future in futures] == list(range(0, 40, 2))
        assert pool.submit(calls.pid).result() != os.getpid()


def test_a_process_is_used_again() -> None:
    with IsolatedPool(1, 30) as pool:
        assert len({pool.submit(calls.pid).result() for _ in range(5)}) == 1


def test_results_larger_than_a_pipe_arrive_whole() -> None:
    with IsolatedPool(1, 30) as pool:
        result = pool.submit(calls.large, 5_000_000).result()
    assert result.shape == (5_000_000,)
    assert result[:300].tolist() == [*range(256), *range(44)]


def test_a_hang_costs_its_own_call_and_the_timeout(tmp_path: Path) -> None:
    fifo = tmp_path / "video.mp4"
    os.mkfifo(fifo)
    with IsolatedPool(1, 1.0) as pool:
        assert pool.submit(calls.double, 1).result() == 2
        started = time.monotonic()
        hung, after = pool.submit(calls.read_fifo, fifo), pool.submit(calls.double, 21)
        with pytest.raises(VideoError, match=r"took longer than 1 s and was stopped") as caught:
            hung.result()
        assert caught.value.code == "timeout"
        assert after.result() == 42
        assert 1.0 <= time.monotonic() - started < 5.0


def test_a_process_that_holds_the_gil_for_ever_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with IsolatedPool(1, 1.0) as pool:
        with pytest.raises(VideoError) as caught:
            pool.submit(calls.leave_a_mark_and_hang, mark).result()
        assert caught.value.code == "timeout"
        assert wait_until(lambda: not is_running(int(mark.read_text())))


def test_the_timeout_counts_from_the_start_of_a_call_not_from_its_submission() -> None:
    with IsolatedPool(1, 2.0) as pool:
        futures = [pool.submit(calls.nap, 0.7) for _ in range(4)]
        assert len({future.result() for future in futures}) == 1


@pytest.mark.parametrize("name", ["abort", "pid"])
def test_a_death_costs_its_own_call(name: str) -> None:
    with IsolatedPool(1, 30) as pool:
        first = pool.submit(calls.pid).result()
        if name == "abort":
            died, after = pool.submit(calls.abort), pool.submit(calls.double, 21)
            with pytest.raises(VideoError, match="the decoding process died: SIGABRT") as caught:
                died.result()
            assert caught.value.code == "decoder_crashed"
            assert after.result() == 42
        else:  # between two calls
            os.kill(first, signal.SIGKILL)
            assert wait_until(lambda: not is_running(first))
            assert pool.submit(calls.pid).result() != first


def test_a_death_just_before_a_call_does_not_cost_the_call() -> None:
    with IsolatedPool(1, 30) as pool:
        for _ in range(10):
            last = pool.submit(calls.pid).result()
            os.kill(last, signal.SIGKILL)
            assert wait_until(lambda pid=last: not is_running(pid))  # the pool may not have been told yet
            assert pool.submit(calls.double, 21).result() == 42


DIES_AT_FIRST = """
import os, signal
from pathlib import Path
deaths = Path(__file__).with_name("deaths")
if left := int(deaths.read_text()):
    deaths.write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("deaths", [1, STARTS - 1, STARTS])
def test_a_process_that_is_killed_while_it_starts_is_started_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "dies_at_first.py").write_text(DIES_AT_FIRST)
    (tmp_path / "deaths").write_text(str(deaths))
    with IsolatedPool(1, 30, preload=["dies_at_first"]) as pool:
        if deaths < STARTS:
            assert pool.submit(calls.double, 21).result() == 42
        else:
            with pytest.raises(ExecutorError, match="could not start: SIGKILL, perhaps for want of memory"):
                pool.submit(calls.double, 21).result()


KILLS_THE_FORK_SERVER = """
import os, signal, time
from multiprocessing import forkserver
from fouls.video.isolation import IsolatedPool
from tests.video import calls

if __name__ == "__main__":
    with IsolatedPool(1, 30) as pool:
        pool.submit(calls.pid).result()
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
        time.sleep(0.5)
        print([pool.submit(calls.double, number).result() for number in range(2)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there may be no fork server")
def test_a_fork_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(KILLS_THE_FORK_SERVER)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("[0, 2]\n", 0), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process maps")
@pytest.mark.parametrize("take", [calls.take, calls.take_with_torch])
def test_a_call_that_wants_too_much_memory_costs_its_own_call(take: Callable[[int], int]) -> None:
    with IsolatedPool(1, 30, memory_bytes=2**28) as pool:
        first = pool.submit(calls.pid).result()
        assert pool.submit(take, 2**27).result() == 2**27
        with pytest.raises(VideoError, match=r"needed more than 0.25 GiB of memory and was stopped") as caught:
            pool.submit(take, 2**29).result()
        assert caught.value.code == "decoder_crashed"
        assert pool.submit(calls.pid).result() != first


def test_a_death_in_the_middle_of_a_result_leaves_the_others_alone() -> None:
    with IsolatedPool(2, 30) as pool:
        assert [future.result() for future in [pool.submit(calls.nap, 0.2) for _ in range(2)]]
        died = pool.submit(calls.die_while_sending, 400_000_000)
        others = [pool.submit(calls.double, number) for number in range(10)]
        assert [future.result(timeout=20) for future in others] == list(range(0, 20, 2))
        with pytest.raises(VideoError, match="SIGKILL, perhaps for want of memory") as caught:
            died.result()
        assert caught.value.code == "decoder_crashed"


def test_exceptions_arrive_with_their_traceback() -> None:
    with IsolatedPool(1, 30) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            pool.submit(calls.divide, 1, 0).result()
        assert "numerator / denominator" in caught.value.__notes__[0]
        with pytest.raises(RuntimeError, match="WordyError: two words"):
            pool.submit(calls.complain).result()
        with pytest.raises(AttributeError, match="pickle"):
            pool.submit(calls.unpicklable).result()
        assert pool.submit(calls.double, 2).result() == 4


def test_several_threads_submit_at_once() -> None:
    results: dict[int, int] = {}
    with IsolatedPool(2, 30) as pool:

        def submit(number: int) -> None:
            results[number] = pool.submit(calls.double, number).result()

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {number: 2 * number for number in range(16)}


def test_closing_cancels_what_waits_and_kills_what_runs(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    started = time.monotonic()
    with IsolatedPool(1, 60) as pool:
        running = pool.submit(calls.leave_a_mark_and_hang, mark)
        waiting = pool.submit(calls.double, 1)
        assert wait_until(lambda: mark.exists() and mark.read_text() != "", 30)
    assert waiting.cancelled()
    with pytest.raises(CancelledError):
        running.result()
    assert wait_until(lambda: not is_running(int(mark.read_text())))
    assert time.monotonic() - started < 30
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.submit(calls.double, 1)


def test_an_import_that_fails_says_so() -> None:
    with (
        IsolatedPool(1, 30, preload=["fouls.no_such_module"]) as pool,
        pytest.raises(ModuleNotFoundError, match=r"fouls\.no_such_module"),
    ):
        pool.submit(calls.double, 1).result()


@pytest.mark.parametrize(("workers", "timeout"), [(0, 1.0), (1, 0.0)])
def test_numbers_that_cannot_be_are_refused(workers: int, timeout: float) -> None:
    with pytest.raises(ConfigError, match="must be"):
        IsolatedPool(workers, timeout)


SCRIPT = """
import sys
from pathlib import Path
from fouls.video.isolation import IsolatedPool
from tests.video import calls

if __name__ == "__main__":
    with IsolatedPool(2, 600) as pool:
        print(pool.submit(calls.pid).result(), flush=True)
        pool.submit(calls.leave_a_mark_and_hang, Path(sys.argv[1])).result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process together with its parent")
def test_nothing_is_left_when_the_main_process_is_killed(tmp_path: Path) -> None:
    script, mark = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, script, mark], env=environment, start_new_session=True) as main:
        try:
            assert wait_until(lambda: mark.exists() and mark.read_text() != "", 60)
            assert is_running(int(mark.read_text()))
        finally:
            main.kill()
    assert wait_until(lambda: session_is_empty(main.pid)), "processes are left"


def session_is_empty(session: int) -> bool:
    """Whether no process of the session that ``session`` led is running."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state != "Z":
            return False
    return True
