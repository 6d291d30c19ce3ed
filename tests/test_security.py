"""What comes from strangers runs no code, leaves its folder nowhere, asks no server and does nothing to a terminal."""

from __future__ import annotations

import ast
import http.server
import json
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

import fouls
from fouls import cli
from fouls.cache.attributes import seal
from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import complete_group, create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.repair import repair
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.commands import console
from fouls.commands.store import failures, status
from fouls.commands.verify import verify
from fouls.errors import StoreError, VideoError, WeightsError
from fouls.pipeline.backbones.tensors import read_tensors
from fouls.pipeline.backbones.weights import parse_weights
from fouls.pipeline.options import ExtractOptions
from fouls.video.decoders import open_video
from fouls.video.frame_index import url_of
from fouls.video.probe import probe_files
from tests.cache.conftest import fill, index, make_spec, make_store, store, templates, tree
from tests.cache.test_verify import edit, flip

__all__ = ["make_store", "store", "templates"]

PACKAGE = Path(fouls.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}

RUNS_CODE = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "code.interact"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open"),
    *("joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.hub.load", "torch.jit.load", "pd.read_pickle"),
}
BETWEEN_OWN_PROCESSES = {"video/isolation.py", "video/isolation_worker.py", "pipeline/executors/worker.py"}
"""Files that unpickle what another process of the same run has pickled; on a cluster Dask does so with all it sends."""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def constant(call: ast.Call, keyword: str) -> Any:
    """The value of a keyword argument, where it is written out; ``None`` where it is not given."""
    return next((getattr(found.value, "value", "?") for found in call.keywords if found.arg == keyword), None)


def test_no_file_of_the_package_runs_code_that_it_reads() -> None:
    found = []
    for name, source in SOURCES.items():
        for called, call in calls(source):
            own = called == "pickle.loads" and name in BETWEEN_OWN_PROCESSES
            if (
                (called in RUNS_CODE and not own)
                or (called == "torch.load" and constant(call, "weights_only") is not True)
                or (called in ("np.load", "numpy.load") and constant(call, "allow_pickle"))
                or constant(call, "trust_remote_code")
                or constant(call, "shell")
                or called.endswith((".extractall", ".unpack_archive"))
            ):
                found.append(f"{name}:{call.lineno}: {called}")
    assert found == []
    assert any(called == "torch.load" for source in SOURCES.values() for called, _ in calls(source))


def test_every_file_prints_through_the_console() -> None:
    """Which escapes what it prints; ``typer.echo`` is for JSON, for the version, and for the one line of an error."""
    found = []
    for name, source in SOURCES.items():
        for called, call in calls(source):
            if (
                called in ("console.out.print", "console.err.print", "rich.print", "sys.stdout.write")
                or (called == "print" and constant(call, "file") is None)
                or (called == "typer.echo" and name != "cli.py" and not makes_json(call.args[0]))
            ):
                found.append(f"{name}:{call.lineno}: {called}")
    assert found == []


def makes_json(text: ast.AST) -> bool:
    """Whether an expression is a call of what writes JSON."""
    return ast.unparse(text).startswith(("json.dumps(", "console.to_json("))


class Exploit:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "weights.pth", tmp_path / "weights.bin"):
        file.write_bytes(pickle.dumps({"model": Exploit(tmp_path / "owned")}))
        with pytest.raises(WeightsError):
            read_tensors(parse_weights(str(file)))
    assert not (tmp_path / "owned").exists()


# ---- stores ----


@pytest.mark.parametrize(
    "pool", ["../escaped", "/tmp/escaped", "a/b", "..", ".", "", "rows", "ledger", "a\0b", "x" * 99]
)
def test_a_pool_that_leads_out_of_the_store_is_refused(tmp_path: Path, pool: str) -> None:
    path = tmp_path / "deep" / "store"
    path.mkdir(parents=True)
    with pytest.raises(StoreError):
        create_group(path, spec=make_spec(pools=(pool,)), shapes={pool: (4,)}, block_rows=4, made_by={})
    with pytest.raises(StoreError):
        open_store(path)
    for write in (complete_group, lambda path: resize_arrays(path, 4), repair):
        with pytest.raises(StoreError):
            write(path)  # type: ignore[operator]
    assert {file.relative_to(path).as_posix() for file in tmp_path.rglob("*") if file.is_file()} == {"zarr.json"}


def commit_nothing(path: Path) -> None:
    opened = open_store(path)
    BlockWriter(opened).commit(empty_features(opened, 0), BlockRecord(block=0, done=[]))


WRITERS = {
    "complete_group": complete_group,
    "resize_arrays": lambda path: resize_arrays(path, 20),
    "append_rows": lambda path: append_rows(path, index(12, ["new"])),
    "commit": commit_nothing,
}


@pytest.mark.parametrize(
    ("link", "writers"),
    [
        ("mean", ["complete_group", "resize_arrays", "commit"]),
        ("mean/c", ["commit"]),
        ("mean/c/0", ["commit"]),
        ("ledger", ["complete_group", "commit"]),
        ("rows", ["complete_group", "append_rows"]),
    ],
)
def test_nothing_is_written_through_a_link(store: Store, tmp_path: Path, link: str, writers: list[str]) -> None:
    fill(store, 0, done=[0, 1])
    outside = tmp_path / "outside"
    (store.path / link).rename(outside)
    (store.path / link).symlink_to(outside)
    before = tree(outside)
    for writer in writers:
        with pytest.raises(StoreError, match="is a link, and fouls writes through no link inside a store"):
            WRITERS[writer](store.path)
        assert tree(outside) == before


def test_the_store_itself_may_be_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(store.path)
    linked = open_store(tmp_path / "elsewhere")
    fill(linked, 0, done=[0, 1, 2, 3])
    assert store.rows()["status"].to_pylist().count("done") == 4


def test_repair_writes_through_no_link(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (store.path / "mean").rename(outside)
    (store.path / "mean").symlink_to(outside)
    flip(outside / "zarr.json", 30)
    before = tree(outside)
    with pytest.raises(StoreError, match="is a link"):
        repair(store.path)
    assert tree(outside) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"block_rows": 10**30},
        {"block_rows": -4},
        {"block_rows": True},
        {"pools": {"mean": [-1], "temporal": [2, 6]}},
        {"pools": {"mean": "x", "temporal": [2, 6]}},
        {"pools": ["mean", "temporal"]},
        {"made_by": "me"},
        {"grids": {"mean": [1]}},
        {"spec": {"backbone": 3}},
        {"spec": None},
        {"format_version": "1"},
    ],
    ids=lambda changes: json.dumps(changes)[:30],
)  # fmt: skip
def test_attributes_that_no_fouls_has_written_are_one_line(store: Store, changes: dict[str, Any]) -> None:
    """Even where whoever altered them knew how to seal them."""
    edit(store.path / "zarr.json", lambda group: group.update(attributes=seal({**group["attributes"], **changes})))
    if changes == {"block_rows": 10**30}:  # a number; that no array has such blocks is found by reading one
        with pytest.raises(StoreError):
            open_store(store.path)["mean"]
        return
    with pytest.raises(StoreError) as refused:
        open_store(store.path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{}, {"backbone": "x"}, {"sampling": 3}, {"sampling": {"evil": 1}}, None])
def test_options_that_no_fouls_has_written_are_one_line(tmp_path: Path, options: Any) -> None:
    whole = {"backbone": "x", "pools": [], "sampling": {"window": None}, "manifest": "m"}
    plain = options if options in ({}, None) else whole | options
    if options == {"backbone": "x"}:
        plain = options
    with pytest.raises(StoreError, match="does not say how it was extracted"):
        ExtractOptions.from_dict(plain, store=tmp_path, retry_failed=False)


def test_options_of_a_store_say_nothing_of_where_work_is_sent(tmp_path: Path) -> None:
    """A scheduler that a stranger names would be sent pickles, and would send some back."""
    plain = {"backbone": "x", "pools": [], "sampling": {"window": None}, "manifest": "m"}
    evil = {"executor": {"scheduler": "tcp://evil:8786"}, "out": "/", "decoder": "x", "retry_failed": True}
    options = ExtractOptions.from_dict(plain | evil, store=tmp_path, retry_failed=False)
    assert (options.executor.scheduler, options.store, options.decoder) == (None, tmp_path, "auto")


# ---- videos ----


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback, and what it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


LURES = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL/seg.ts\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL/seg.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile 'URL/part.ts'\n",
    "dash.mpd": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>URL/d.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
}


def test_a_file_that_names_a_server_does_not_make_a_decoder_ask_it(
    tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    for name, text in LURES.items():
        (tmp_path / name).write_text(text.replace("URL", url))
    probes = probe_files([str(tmp_path / name) for name in LURES], workers=1, timeout_seconds=20.0)
    assert all(probe.error is not None for probe in probes)
    for decoder in ("auto", "pyav", "decord"):
        for name in LURES:
            with pytest.raises(VideoError):
                open_video(str(tmp_path / name), decoder)
    assert paths == []


def test_the_server_would_have_heard(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    with pytest.raises(VideoError):
        open_video(f"{url}/v.mp4", "pyav")
    assert "/v.mp4" in paths


@pytest.mark.parametrize("scheme", ["tcp", "udp", "ftp", "gopher", "rtmp", "unix", "file", "data", "crypto+http"])
def test_schemes_that_nobody_asks_for_are_refused(scheme: str) -> None:
    with pytest.raises(VideoError, match="is not read; allowed are files and http, https"):
        url_of(f"{scheme}://127.0.0.1:1/x")


@pytest.mark.parametrize(
    "path", ["concat:/etc/passwd|http://x/y", "subfile,,start,0,end,9,,:/etc/passwd", "pipe:0", "a:b"]
)
def test_a_colon_in_a_path_is_no_protocol(path: str) -> None:
    assert url_of(path) == f"file:{path}"


# ---- the terminal ----

NASTY = "[red]x[/red] \x1b]0;title\x07\x1b[2J \x9b31m \r\n \u202egpj.exe :smile: [/nonsense]"
HARMLESS = "[red]x[/red] \\x1b]0;title\\x07\\x1b[2J \\x9b31m \\r\\n \\u202egpj.exe :smile: [/nonsense]"


def acts(text: str) -> set[str]:
    """The characters in a text on which a terminal acts, but for line ends."""
    return {character for character in text if character != "\n" and console.printable(character) != character}


@pytest.fixture
def nasty(make_store: Any) -> Store:
    """A store of one video with such a name, which has failed with such a message."""
    made: Store = make_store(num_videos=0)
    append_rows(made.path, index(0, [NASTY]))
    resize_arrays(made.path, 1)
    fill(made, 0, done=[], failed=[0])
    edit(made.path / "ledger" / "00000000.json", lambda record: record.pop("checksum"))
    edit(
        made.path / "ledger" / "00000000.json",
        lambda record: record["failures"][0].update(video_id=NASTY, message=NASTY),
    )
    return made


@pytest.mark.parametrize("arguments", [["failures"], ["status"], ["verify"], ["verify", "--recompute", "1"]])
def test_names_from_a_store_do_nothing_to_a_terminal(nasty: Store, arguments: list[str]) -> None:
    (nasty.path / "\x1b[2J[red].txt").write_text("a strange file")
    app = typer.Typer()
    for command in (failures, status, verify):
        app.command()(command)
    runner = CliRunner(env={"COLUMNS": "1000"})
    result = runner.invoke(app, [arguments[0], str(nasty.path), *arguments[1:]])
    assert acts(result.stdout + result.stderr) == set()
    if arguments[0] == "failures":
        assert result.stdout.count(HARMLESS) == 2
    if arguments == ["verify"]:
        assert "\\x1b[2J[red].txt" in result.stdout


def test_what_the_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(NASTY)
    console.table(NASTY, [NASTY], [[NASTY]])
    console.next_step(NASTY)
    console.warn(NASTY)
    with console.progress(NASTY, 1, "rows") as advance:
        advance(1)
    printed = capsys.readouterr()
    assert acts(printed.out + printed.err) == set()
    assert (printed.out + printed.err).count("[red]x[/red]") == 7
    assert console.printable("Größe 猫 🙂 – ok") == "Größe 猫 🙂 – ok"


def test_json_for_a_terminal_is_json() -> None:
    plain = {NASTY: [NASTY, "Größe", "\x7f\x85\ud800"], "n": 1.5}
    for indent in (None, 2):
        text = console.to_json(plain, indent=indent)
        assert acts(text) == set()
        assert json.loads(text) == plain
    assert "Größe" in console.to_json(plain)


def test_the_line_of_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["fouls", "status", "no\x1b[2J[red]where"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "no store at no\\x1b[2J[red]where: " in capsys.readouterr().err


def test_a_class_name_is_no_formula() -> None:
    from fouls.heads.figures.confusion import draw_confusion

    names = ["a$b_{", "$x$", "\\frac"]
    picture = draw_confusion(np.eye(3, dtype=np.int64), names, "t$i_{tle", "sub$t^{")
    assert picture.startswith(b"\x89PNG")


def test_a_manifest_of_a_stranger_runs_no_code(tmp_path: Path) -> None:
    """Arrow once unpickled extension types that a file named."""
    from fouls.errors import ManifestError
    from fouls.manifests.table import read_manifest

    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Exploit(tmp_path / "owned"), protocol=0),
    }
    schema = pa.schema([pa.field("video_id", pa.string(), metadata=metadata)])
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"video_id": ["x"]}, schema=schema), tmp_path / "evil.parquet")
    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "evil.parquet")
    assert not (tmp_path / "owned").exists()
