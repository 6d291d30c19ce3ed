"""Does a store on S3 survive what networks and servers do, and is there ever a wrong row?

Starts moto's S3 server and, before it, a proxy that spoils requests at random: answers of 500 and 503, slow answers, a
connection that is cut before the request gets through, or in the middle of the answer. Through it several threads fill
a store block by block; in some rounds the server is gone for good in the middle, and the round is begun again as a
user would. Then, past the proxy, everything is verified and compared with what was written.

    python -m benchmarks.s3_faults [--rounds 20] [--blocks 32] [--share 0.2] [--seed 0]

Ends with 1 when a row is lost or wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from fouls.cache.blocks import BlockWriter
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.lock import exclusive
from fouls.cache.rows import ROW_SCHEMA, append_rows, read_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import open_store
from fouls.cache.verify import verify
from fouls.commands import console
from fouls.errors import StorageError
from fouls.objects import client
from fouls.objects.location import Location, location
from tests.cloud.faulty_proxy import Fault, FaultyProxy

FAULTS: tuple[Fault, ...] = ("error_500", "throttled_503", "slow", "cut_request", "cut_answer")
BLOCK_ROWS, WIDTH, THREADS = 4, 64, 4
OUTAGES = 4
"""In each so-many-th round the server is gone in the middle."""


def spec() -> Spec:
    return Spec(
        backbone="videomae_base",
        weights=WeightsSpec(sha256="ab" * 32),
        sampling=SamplingSpec(num_frames=16),
        preprocessing=PreprocessingSpec(
            resize_to=224, crop=224, antialias=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        ),
        pools=("mean",),
        precision="fp32",
    )


def values_of(block: int) -> np.ndarray:
    return np.random.default_rng(block).normal(size=(BLOCK_ROWS, WIDTH)).astype(np.float16)


def fill(place: Location, num_blocks: int) -> None:
    """What an extraction does to a store, without decoding and backbone."""
    with exclusive(place):
        create_group(place, spec=spec(), shapes={"mean": (WIDTH,)}, block_rows=BLOCK_ROWS, made_by={})
        if not read_rows(place)[0].num_rows:
            append_rows(place, index(num_blocks * BLOCK_ROWS))
        resize_arrays(place, num_blocks * BLOCK_ROWS)
        store = open_store(place)
        writer, done = BlockWriter(store), {record.block for record in store.ledger()}

        def commit(block: int) -> None:
            rows = [[block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS]]
            writer.commit({"mean": values_of(block)}, BlockRecord(block=block, done=rows))

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(commit, [block for block in range(num_blocks) if block not in done]))


def index(num_rows: int) -> pa.Table:
    columns = {name: [None] * num_rows for name in ROW_SCHEMA.names}
    names = [f"v{row}" for row in range(num_rows)]
    columns |= {"row": list(range(num_rows)), "video_id": names, "sample_id": names}
    columns |= {name: [0] * num_rows for name in ("view", "clip", "crop", "augment")}
    return pa.table(columns | {"frame_indices": [[0]] * num_rows}, schema=ROW_SCHEMA)


class Weather:
    """Chooses the faults of a round."""

    def __init__(self, seed: int, share: float, outage_after: int | None) -> None:
        self._random, self._share, self._left = random.Random(seed), share, outage_after

    def __call__(self, method: str, path: str) -> Fault | None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return "cut_request"
        return self._random.choice(FAULTS) if self._random.random() < self._share else None


def count_wrong(place: Location, num_blocks: int) -> tuple[int, int]:
    """Rows that are not done, and rows that hold something else than was written."""
    store = open_store(place)
    done = {row for record in store.ledger() for start, stop in record.done for row in range(start, stop)}
    written = np.concatenate([values_of(block) for block in range(num_blocks)])
    found = np.asarray(store["mean"][:])
    wrong = sum(not np.array_equal(found[row], written[row]) for row in done)
    return num_blocks * BLOCK_ROWS - len(done), wrong + len(verify(store).findings)


def start_server(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
            return process
        time.sleep(0.1)
    raise SystemExit("moto's server does not start: pip install -e '.[dev]'")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def use(endpoint: str) -> None:
    """Ask this server from now on."""
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    client.connect.cache_clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=32, help="of a round's store")
    parser.add_argument("--share", type=float, default=0.2, help="of the requests that are spoiled")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    os.environ |= {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    os.environ["HOME"] = tempfile.mkdtemp()  # whoever runs this has credentials of his own
    client.TIMEOUTS["read_timeout"] = "500ms"
    client.BACKOFF["init_backoff"] = timedelta(milliseconds=20)
    client.BACKOFF["max_backoff"] = timedelta(milliseconds=500)
    server = f"http://127.0.0.1:{(port := free_port())}"
    process = start_server(port)
    total: Counter[str] = Counter()
    try:
        with FaultyProxy(server, slow_seconds=1.0) as proxy:
            make_bucket(server)
            for number in range(options.rounds):
                run_round(proxy, server, number, options, total)
    finally:
        process.kill()
        process.wait()
        Path(os.environ["HOME"]).rmdir()
    print_total(total, proxy)
    return int(total["lost"] + total["wrong"] > 0)


def make_bucket(server: str) -> None:
    import boto3

    boto3.client("s3", endpoint_url=server).create_bucket(Bucket="bench")


def run_round(proxy: FaultyProxy, server: str, number: int, options: argparse.Namespace, total: Counter[str]) -> None:
    place = location(f"s3://bench/{number}/videomae")
    outage = 3 * options.blocks if number % OUTAGES == OUTAGES - 1 else None
    use(proxy.url)
    proxy.choose = Weather(options.seed + number, options.share, outage)
    while True:
        total["runs"] += 1
        try:
            fill(place, options.blocks)
            break
        except StorageError:
            total["ended with one line"] += 1
            proxy.choose = Weather(options.seed + number + total["runs"], options.share, None)
    proxy.choose = lambda method, path: None
    use(server)
    lost, wrong = count_wrong(place, options.blocks)
    total.update(rows=options.blocks * BLOCK_ROWS, lost=lost, wrong=wrong)


def print_total(total: Counter[str], proxy: FaultyProxy) -> None:
    injected = [[fault, proxy.injected[fault]] for fault in FAULTS]
    console.table(None, ["fault", "injected"], [*injected, ["all", sum(proxy.injected.values())]])
    console.say(f"{sum(proxy.requests.values()):,} requests, {total['runs']} runs")
    console.say(f"{total['ended with one line']} runs ended by an outage, and begun again")
    console.say(f"{total['rows']:,} rows: {total['lost']} lost, {total['wrong']} wrong")


if __name__ == "__main__":
    sys.exit(main())
