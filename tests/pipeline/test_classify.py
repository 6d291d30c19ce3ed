"""Classes equal those of the model called directly, on the frames that the sampling names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import video
from transformers import VideoMAEForVideoClassification, VideoMAEImageProcessor

from fouls.errors import BackboneError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.classify import classify
from fouls.pipeline.sampling import uniform
from tests.media import frame_numbered_video
from tests.pipeline.backbones.checkpoints import read_clip, tiny_checkpoint

NAMES = {0: "tackling", 1: "holding", 2: "pushing", 3: "diving", 4: "no offence"}


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Of a known number of frames, one of them shorter than a clip."""
    return [frame_numbered_video(tmp_path / f"v{frames}.mp4", frames) for frames in (33, 5, 70)]


def indices(path: Path, clip_frames: int) -> list[int]:
    chosen: list[int] = uniform(int(path.stem[1:]), clip_frames)[0].tolist()
    return chosen


def test_classes_are_those_of_transformers(tmp_path: Path, videos: list[Path]) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", id2label=NAMES)
    found = classify([str(path) for path in videos], load_backbone("videomae", weights=str(folder)))
    model = VideoMAEForVideoClassification.from_pretrained(folder).eval()
    processor = VideoMAEImageProcessor.from_pretrained(folder)
    assert found.classes == tuple(NAMES.values())
    assert found.failures == {}
    for path, answer in zip(videos, found.videos, strict=True):
        frames = read_clip(path, indices(path, 8))
        with torch.no_grad():
            logits = model(**processor(list(frames), return_tensors="pt")).logits
        expected = logits.softmax(1)[0].numpy()
        assert answer.video == str(path)
        assert answer.probabilities == pytest.approx(expected, abs=1e-6)
        assert answer.best(5) == np.argsort(-expected).tolist()
        assert model.config.id2label[answer.best(1)[0]] == found.classes[answer.best(1)[0]]


def test_classes_are_those_of_torchvision(tmp_path: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The published weights by name, and a copy of their file; made-up weights lie where torch.hub keeps them."""
    published = video.Swin3D_T_Weights.KINETICS400_V1
    file_name = published.url.rpartition("/")[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = video.swin3d_t().eval()
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(model.state_dict(), checkpoints / file_name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    backbone = load_backbone("swin3d_t", num_frames=4)
    found = classify([str(videos[0])], backbone)
    frames = read_clip(videos[0], indices(videos[0], 4))
    with torch.no_grad():
        expected = model(published.transforms()(torch.from_numpy(frames).permute(0, 3, 1, 2))[None]).softmax(1)[0]
    assert found.videos[0].probabilities == pytest.approx(expected.numpy(), abs=1e-6)
    assert found.classes == tuple(published.meta["categories"])
    assert load_backbone("swin3d_t", weights=str(checkpoints / file_name)).classes == found.classes
    (checkpoints / file_name).rename(tmp_path / "mine.pth")
    assert load_backbone("swin3d_t", weights=str(tmp_path / "mine.pth")).classes == ()


def test_classes_without_names_are_numbered(tmp_path: Path, videos: list[Path]) -> None:
    found = classify([str(videos[1])], load_backbone("videomae", weights=str(tiny_checkpoint(tmp_path / "tiny"))))
    assert found.classes == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert found.videos[0].probabilities.sum() == pytest.approx(1)


def test_movinet_has_numbers_alone(videos: list[Path]) -> None:
    backbone = load_backbone("movinet_a0", weights="random:3", num_frames=2)
    found = classify([str(videos[1])], backbone)
    logits = backbone.encode(read_clip(videos[1], [0, 4])[None], ["logits"])["logits"]
    assert found.videos[0].probabilities == pytest.approx(logits.softmax(1)[0].numpy(), abs=1e-6)
    assert len(found.classes) == 600
    assert found.classes[17] == "class 17"


def test_one_bad_video_costs_itself_alone(tmp_path: Path, videos: list[Path]) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    backbone = load_backbone("videomae", weights=str(tiny_checkpoint(tmp_path / "tiny")))
    found = classify([str(tmp_path / "text.mp4"), str(videos[1]), str(tmp_path / "gone.mp4")], backbone)
    assert [answer.video for answer in found.videos] == [str(videos[1])]
    assert list(found.failures) == [str(tmp_path / "text.mp4"), str(tmp_path / "gone.mp4")]
    assert all(reason.startswith("unreadable: ") for reason in found.failures.values())
    nothing = classify([str(tmp_path / "text.mp4")], backbone)
    assert nothing.videos == ()


def test_no_classifier(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    state = load_file(folder / "model.safetensors")
    trunk = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    save_file(trunk, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"^videomae_d32_l2 has no classifier with these weights \(its pools: mean"):
        classify(["v.mp4"], load_backbone("videomae", weights=str(folder)))
