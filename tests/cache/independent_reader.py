"""A reader of stores that follows ``docs/store.md`` and uses no line of fouls.

It reads what there is to read, and checks every checksum on the way.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zarr


class ForeignStore:
    """A store, read with json, numpy, pyarrow and zarr alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attributes: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]
        if self.attributes["format_version"] > 1:
            raise ValueError(f"format version {self.attributes['format_version']}")
        self._check_attributes()
        self.files = sorted((path / "rows").glob("*.parquet"))
        self.parts = [self._read_part(number, file) for number, file in enumerate(self.files)]
        self.rows = pa.concat_tables(self.parts).to_pylist()
        names = [file for file in sorted((path / "ledger").iterdir()) if re.fullmatch(r"\d{8}\.json", file.name)]
        self.records = [self._read_record(file) for file in names]

    def _check_attributes(self) -> None:
        assert sha256_of_json(self.attributes["spec"]) == self.attributes["fingerprint"]
        rest = {name: value for name, value in self.attributes.items() if name != "checksum"}
        assert self.attributes["checksum"] == f"sha256:{sha256_of_json(rest)}"
        assert json.loads((self.path / "rows" / "zarr.json").read_text())["attributes"] == self.attributes

    def _read_part(self, number: int, file: Path) -> pa.Table:
        data = file.read_bytes()
        assert file.name == f"{number:08d}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        assert file.with_name(f"{file.name}.copy").read_bytes() == data
        return pq.read_table(pa.BufferReader(data))

    def _read_record(self, file: Path) -> dict[str, Any]:
        data = file.read_bytes()
        record: dict[str, Any] = json.loads(data)
        before = data[: data.rindex(b',\n "checksum"')]
        assert record["checksum"] == f"sha256:{hashlib.sha256(before).hexdigest()}"
        assert file.name == f"{record['block']:08d}.json"
        return record

    def retired(self) -> list[bool]:
        """Whether a later file has the plain pass of the same video, for each row."""
        found = []
        for number, part in enumerate(self.parts):
            later = {
                row["video_id"]
                for other in self.parts[number + 1 :]
                for row in other.to_pylist()
                if row["augment"] == 0
            }
            found += [video_id in later for video_id in part["video_id"].to_pylist()]
        return found

    def statuses(self) -> list[str]:
        """What is to be said of each row."""
        done = {row for record in self.records for start, stop in record["done"] for row in range(start, stop)}
        failed = {failure["row"] for record in self.records for failure in record["failures"]}
        found = []
        for row, is_retired in zip(self.rows, self.retired(), strict=True):
            if is_retired:
                found.append("retired")
            elif row["row"] in done:
                found.append("done")
            else:
                found.append("failed" if row["row"] in failed else "todo")
        return found

    def failures(self) -> dict[int, str]:
        """Row → class of error."""
        return {failure["row"]: failure["code"] for record in self.records for failure in record["failures"]}

    def values(self, pool: str) -> dict[int, npt.NDArray[Any]]:
        """Row → its feature, of all rows that the ledger calls done."""
        array = zarr.open_group(self.path, mode="r")[pool]
        assert isinstance(array, zarr.Array)
        assert array.dtype == np.dtype(self.attributes["spec"]["stored_dtype"])
        assert array.chunks == (self.attributes["block_rows"], *self.attributes["pools"][pool])
        found = {}
        for record in self.records:
            digest = hashlib.sha256()
            for start, stop in record["done"]:
                for row in range(start, stop):
                    found[row] = np.asarray(array[row])
                    digest.update(found[row].astype(array.dtype.newbyteorder("<")).tobytes())
            if record["done"]:
                assert record["checksums"][pool] == f"sha256:{digest.hexdigest()}"
        return found


def sha256_of_json(value: Any) -> str:
    """SHA-256 of JSON with sorted keys and no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
