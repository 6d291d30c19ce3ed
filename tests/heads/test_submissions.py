"""The files that challenges ask for, and what is measured beside them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from fouls.errors import RunError
from fouls.heads.metrics import mvfoul_scores
from fouls.heads.predictions import Predictions
from fouls.heads.submissions import challenges_of
from fouls.heads.submissions.ma52 import codabench_csv, csv_of_2024, is_ma52
from fouls.heads.submissions.mvfoul import is_mvfoul, leaderboard, mvfoul_submission
from fouls.heads.tasks import Task
from fouls.manifests.builders import mvfoul
from fouls.manifests.builders.ma52 import BODY_CLASSES
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES

MVFOUL = {"action": ACTION_CLASSES, "offence_severity": OFFENCE_SEVERITY_CLASSES}
BODY = Task(name="body", classes=BODY_CLASSES)
ENDS = [5, 11, 24, 32, 38, 48, 52]
"""Where the fine classes of each body end."""


def predicted(task: Task, probabilities: np.ndarray, labels: np.ndarray, ids: list[str]) -> Predictions:
    return Predictions(
        task=task, sample_ids=np.array(ids, object), labels=labels, probabilities=probabilities.astype(np.float32)
    )


def random_predictions(task: Task, count: int, name: str, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(len(task.classes), 0.5), count)
    labels = rng.integers(0, len(task.classes), count)
    return predicted(task, probabilities, labels, [name.format(number) for number in range(count)])


@pytest.fixture
def fine(shared: Path) -> Task:
    """The fine task with the published names."""
    lines = (shared / "ma52" / "label_name.txt").read_text().splitlines()
    return Task(name="action", classes=tuple(line.split("\t")[1].strip() for line in lines))


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def test_the_file_reads_like_the_evaluators_own(shared: Path) -> None:
    sample = json.loads((shared / "mvfoul" / "evaluator" / "dev_full" / "predictions.json").read_text())
    known = {(entry["Offence"], entry["Severity"]) for entry in sample["Actions"].values()}
    each = np.arange(4)
    predictions = [
        predicted(
            Task(name=name, classes=classes), np.eye(len(classes))[each], each, [f"test/action_{n}" for n in each]
        )
        for name, classes in MVFOUL.items()
    ]
    ours = mvfoul_submission(predictions, "test")
    assert ours.keys() == sample.keys()
    assert list(ours["Actions"]) == ["0", "1", "2", "3"]
    assert {(entry["Offence"], entry["Severity"]) for entry in ours["Actions"].values()} == known
    assert {entry["Action class"] for entry in sample["Actions"].values()} <= set(ACTION_CLASSES)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["elsewhere", "test/action_1"], "sample 'elsewhere' has no action number"),
        (["a/action_1", "b/action_1"], "action 1 is there twice in split 'test', the second time as 'b/action_1'"),
    ],
)
def test_ids_that_are_no_action_are_refused(ids: list[str], message: str) -> None:
    each = np.zeros(2, int)
    predictions = [
        predicted(Task(name=name, classes=classes), np.eye(len(classes))[each], each, ids)
        for name, classes in MVFOUL.items()
    ]
    with pytest.raises(RunError, match=message):
        mvfoul_submission(predictions, "test")


def test_the_leaderboard_is_what_the_evaluation_of_the_file_says() -> None:
    actions = random_predictions(Task(name="action", classes=ACTION_CLASSES), 60, "test/action_{}")
    severities = random_predictions(
        Task(name="offence_severity", classes=OFFENCE_SEVERITY_CLASSES), 60, "test/action_{}", seed=1
    )
    texts = [("No offence", ""), ("Offence", "1.0"), ("Offence", "3.0"), ("Offence", "5.0")]
    annotations = {
        str(number): {
            "Action class": ACTION_CLASSES[action],
            "Offence": texts[severity][0],
            "Severity": texts[severity][1],
        }
        for number, (action, severity) in enumerate(zip(actions.labels, severities.labels, strict=True))
    }
    ours = leaderboard([actions, severities])
    theirs = mvfoul_scores({"Actions": annotations}, mvfoul_submission([actions, severities], "test"))["corrected"]
    assert ours == pytest.approx(theirs)
    assert list(ours or {}) == list(theirs)
    expected = [100 * balanced_accuracy_score(task.labels, task.classes) for task in (severities, actions)]
    assert theirs["leaderboard_value"] == pytest.approx(np.mean(expected))
    severities.labels[:] = -1
    assert leaderboard([actions, severities]) is None


def test_the_classes_are_those_of_the_manifest_builder() -> None:
    tasks = [Task(name=name, classes=tuple(classes)) for name, classes in mvfoul.TASKS.items()]
    assert is_mvfoul(tasks)
    assert list(challenges_of(tasks)) == ["mvfoul"]
    assert not is_mvfoul(tasks[:1])
    assert challenges_of(tasks[:1]) == {}


def test_ma52_is_known_by_its_classes(fine: Task) -> None:
    numbered = Task(name="action", classes=tuple(map(str, range(52))))
    assert list(challenges_of([fine])) == ["ma52"]
    assert is_ma52([numbered, BODY])
    assert not is_ma52([numbered])
    assert not is_ma52([BODY])
    assert not is_ma52([Task(name="action", classes=fine.classes[:51]), BODY])


def test_ma52_of_2024(fine: Task) -> None:
    predictions = random_predictions(fine, 30, "test{:04}")
    header, *rows = rows_of(csv_of_2024([predictions]))
    assert header == ["id", "pred_label_1", "pred_label_2"]
    for number, row in enumerate(rows):
        action = int(np.argmax(predictions.probabilities[number]))
        assert row == [f"test{number:04}.mp4", str(sum(action >= end for end in ENDS)), str(action)]
    assert len(rows) == 30


@pytest.mark.parametrize("has_body", [True, False])
def test_ma52_of_codabench(fine: Task, has_body: bool) -> None:
    predictions = random_predictions(fine, 30, "videos/test{:04}.mp4")
    bodies = random_predictions(BODY, 30, "videos/test{:04}.mp4", seed=1)
    header, *rows = rows_of(codabench_csv([bodies, predictions] if has_body else [predictions]))
    assert ",".join(header) == (
        "vid,action_pred_1,action_pred_2,action_pred_3,action_pred_4,action_pred_5,"
        "body_pred_1,body_pred_2,body_pred_3,body_pred_4,body_pred_5"
    )
    assert len(rows) == 30
    for number, row in enumerate(rows):
        actions = predictions.probabilities[number]
        of_bodies = bodies.probabilities[number]
        if not has_body:
            of_bodies = np.array([part.sum() for part in np.split(actions, ENDS[:-1])])
        assert row[0] == f"test{number:04}.mp4"
        for picked, probabilities in ((row[1:6], actions), (row[6:], of_bodies)):
            assert [int(index) for index in picked] == sorted(
                range(len(probabilities)), key=lambda index: -probabilities[index]
            )[:5]


def test_two_samples_of_one_file_are_refused(fine: Task) -> None:
    predictions = random_predictions(fine, 2, "x")
    predictions.sample_ids[:] = ["a/1", "b/1"]
    with pytest.raises(RunError, match=r"samples 'a/1' and 'b/1' both are 1\.mp4"):
        csv_of_2024([predictions])


def test_what_ma52_measures(fine: Task) -> None:
    predictions = random_predictions(fine, 200, "{}")
    predictions.labels[:150] = predictions.classes[:150]
    challenge = challenges_of([fine])["ma52"]
    scores = challenge.scores([predictions])
    assert scores is not None
    fine_labels = predictions.labels, predictions.classes
    coarse_labels = (np.searchsorted(ENDS, labels, side="right") for labels in fine_labels)
    parts = [
        f1_score(*pair, average=average)
        for pair in (fine_labels, tuple(coarse_labels))
        for average in ("macro", "micro")
    ]
    assert scores["F1_mean"] == pytest.approx(100 * np.mean(parts))
    assert list(challenge.files([predictions], "test")) == ["ma52_test_2024.csv", "ma52_test_codabench.csv"]
    predictions.labels[:] = -1
    assert challenge.scores([predictions]) is None
