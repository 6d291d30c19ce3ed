"""What comes from strangers runs no code."""

from __future__ import annotations

import ast
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fouls
from fouls.errors import WeightsError
from fouls.pipeline.backbones.tensors import read_tensors
from fouls.pipeline.backbones.weights import parse_weights

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
