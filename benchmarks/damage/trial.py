"""The trial: a manifest of the corpus, some files changed behind its back, an extraction, what came of each file."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np

from fouls.cache.failures import failures
from fouls.cache.store import Store, open_store
from fouls.demo.backbone import write_backbone
from fouls.errors import VIDEO_ERROR_CODES, VideoError
from fouls.manifests.table import absolute_paths, read_manifest
from fouls.pipeline.backbones.loading import load_backbone
from fouls.video.isolation import IsolatedPool

from .cases import Case
from .corpus import Corpus
from .judging import Judgement, judge

TAMPERED = 12
"""Files that change between the manifest and the extraction."""
WITHIN = 2.0
"""Grey levels by which decoders may differ on average."""
ALIKE = 0.9999
"""Cosine from which on two features count as the same: they are stored as float16."""

Command = Callable[[list[str]], int | None]
"""Runs one command line of fouls in the trial's folder; its exit status, or ``None`` when it hung."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one file."""

    case: Case
    found: str
    """``done``, a class of error, or ``missing`` where the store has no row."""
    message: str = ""
    judgement: Judgement | None = None
    """Of a row that is done."""
    cosine: float | None = None
    """Between the row's features and those of the reference's frames."""

    @property
    def faults(self) -> list[str]:
        """What is wrong with that, if anything."""
        case, judged = self.case, self.judgement
        found = []
        if self.found != "done" and (self.found not in VIDEO_ERROR_CODES or not self.message):
            found.append(f"not classed: {self.found}")
        elif case.expected and self.found not in case.expected:
            found.append(f"{self.found}: {self.message}, instead of {' or '.join(sorted(case.expected))}")
        if self.found == "decode_error" and not any(
            word in self.message for word in ("after frame", "at the first frame", "not one frame", "leaves out frame")
        ):
            found.append(f"no last good frame: {self.message}")
        if judged is not None and (judged.from_reference or 0.0) > 0.0:
            found.append(f"{judged.from_reference:.1f} grey levels from a decoding from the first packet on")
        if judged is not None and (judged.between or 0.0) > WITHIN:
            found.append(f"{judged.between:.1f} grey levels between the decoders")
        if self.cosine is not None and self.cosine < ALIKE:
            found.append(f"features with cosine {self.cosine:.4f} to those of the right frames")
        return found


def build(corpus: Corpus, folder: Path, run: Command) -> list[int | None]:
    """Write the manifests of a corpus; how the commands ended."""
    with (folder / "files.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "video_id"])
        for case in corpus.cases:
            if case.group != "name":
                table.writerow([case.path, os.path.basename(case.path)])
    probing = ["--workers", "2", "--probe-timeout", "20"]
    commands = [["manifest", "build", "files.csv", "--format", "csv", *probing]]
    if any(case.group == "name" for case in corpus.cases):
        commands.append(["manifest", "build", "names", "--format", "videos", *probing])
    return [run(command) for command in commands]


def tamper(corpus: Corpus, seed: int) -> Corpus:
    """Change some files that are sound, so that the manifest does not describe them any more."""
    rng = Random(seed)
    sound = [case for case in corpus.cases if case.group == "odd" and case.expected == {"done"}]
    chosen = {case.path for case in rng.sample(sound, min(TAMPERED, len(sound) // 2))}
    cases = []
    for number, case in enumerate(corpus.cases):
        cases.append(_tampered(case, number % 4) if case.path in chosen else case)
    return Corpus(cases=tuple(cases), not_made=corpus.not_made)


def _tampered(case: Case, how: int) -> Case:
    path = Path(case.path)
    data = path.read_bytes()
    if how == 0:
        path.unlink()
        kind, expected = "deleted", "unreadable"
    elif how == 1:
        path.write_bytes(data[: len(data) // 2])
        kind, expected = "cut", "changed"
    elif how == 2:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        kind, expected = "one bit changed", "changed"
    else:
        path.touch()
        kind, expected = "touched", "done"
    return Case(path=case.path, kind=f"{kind} after the probe", group="tampered", expected=frozenset({expected}))


def extract(folder: Path, run: Command, *, timeout_seconds: float) -> int | None:
    """Extract the corpus with a small VideoMAE and two decoding processes; how the command ended."""
    write_backbone(folder / "weights")
    where = ["--device", "cpu", "--decode-workers", "2", "--decode-timeout", str(timeout_seconds)]
    return run(["extract", "--backbone", "videomae", "--weights", "weights", "--block-rows", "32", "--json", *where])


def outcomes(corpus: Corpus, folder: Path) -> list[Outcome]:
    """What the store says of every file, and whether what is done is right."""
    store = open_store(str(folder / "cache" / "videomae"))
    manifest = read_manifest(folder / "manifests")
    by_id = dict(zip(manifest["video_id"].to_pylist(), absolute_paths(manifest), strict=True))
    rows = {by_id[row["video_id"]]: row for row in store.rows().to_pylist() if row["status"] != "retired"}
    failed = {row["row"]: (row["code"], row["message"]) for row in failures(store).to_pylist()}
    found = []
    for case in corpus.cases:
        row = rows.get(listed_as(case.path))
        code, message = ("missing", "") if row is None else failed.get(row["row"], (row["status"], ""))
        found.append(Outcome(case=case, found=code, message=message))
    return _judged(found, rows, store, folder / "weights")


def listed_as(path: str) -> str:
    """The path of a file in a manifest, which is UTF-8 whatever the file's name is."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _judged(found: Sequence[Outcome], rows: dict[str, dict], store: Store, weights: Path) -> list[Outcome]:  # type: ignore[type-arg]
    """The same with a judgement of each row that is done."""
    backbone = load_backbone("videomae", weights=str(weights), device="cpu", precision="fp32")
    features, decoders = store["mean"][:], ("pyav", "decord") if find_spec("decord") else ("pyav",)
    judged = []
    with IsolatedPool(2, 120.0, preload=[judge.__module__]) as pool:
        waiting = {
            outcome.case.path: pool.submit(
                judge, outcome.case.path, rows[outcome.case.path]["frame_indices"], backbone.preprocessing, decoders
            )
            for outcome in found
            if outcome.found == "done"
        }
        for outcome in found:
            future = waiting.pop(outcome.case.path, None)
            if future is None:
                judged.append(outcome)
                continue
            try:
                judgement = future.result()
            except VideoError as error:
                message = f"the judge: {error}"
                judged.append(Outcome(case=outcome.case, found=error.code, message=message))
                continue
            cosine = None
            if judgement.pictures is not None:
                expected = backbone.encode(judgement.pictures[None], pools=["mean"])["mean"][0].numpy()
                cosine = _cosine(expected, features[rows[outcome.case.path]["row"]])
            judged.append(Outcome(case=outcome.case, found="done", judgement=judgement, cosine=cosine))
    return judged


def _cosine(one: np.ndarray, other: np.ndarray) -> float:  # type: ignore[type-arg]
    one, other = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
