from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from fouls.video.fork_server import import_ahead
from fouls.video.isolation import IsolatedPool

if __name__ == "__main__":
    import_ahead(["colorsys"])
    with IsolatedPool(1, 30, preload=["this"]) as pool:  # which prints a poem at its import
        print(pool.submit(eval, "'colorsys' in __import__('sys').modules").result())
"""


def test_what_is_imported_ahead_is_there_in_processes_that_did_not_ask_for_it() -> None:
    """And what a later pool asks for comes in its own processes."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert "Beautiful is better than ugly." in done.stdout
    assert done.stdout.splitlines()[-1] == "True"
