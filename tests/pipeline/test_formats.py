"""A checkpoint of each format goes through ``extract`` on real small videos and equals the model called directly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torchvision.models.video import MViT_V2_S_Weights, Swin3D_T_Weights, mvit_v2_s, swin3d_t
from transformers import (
    BitImageProcessor,
    Dinov2Config,
    Dinov2Model,
    VideoMAEImageProcessor,
    VideoMAEModel,
    VideoPrismVisionConfig,
    VideoPrismVisionModel,
    VJEPA2Config,
    VJEPA2Model,
    VJEPA2VideoProcessor,
)

from fouls.pipeline.backbones.movinet.configs import CONFIGS
from fouls.pipeline.backbones.movinet.net import MoViNet
from fouls.pipeline.backbones.slowfast import from_slowfast
from fouls.pipeline.backbones.videomae_original import convert
from fouls.pipeline.options import ExecutorOptions
from fouls.video.decoders import open_video

from .backbones import test_dinov2, test_hf, test_videoprism, test_vit, test_vjepa2
from .backbones.checkpoints import made_up, save_parts, tiny_checkpoint
from .backbones.movinet.nets import made_up_state
from .backbones.reference import reference_state
from .backbones.test_original_checkpoints import as_mmaction2, put_config, tiny_keys
from .conftest import Project

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """A kind of checkpoint."""

    name: str
    backbone: str
    make: Callable[[Path], Path]
    """Writes a tiny one into a folder; gives what ``--weights`` is told."""
    direct: Callable[[Path, Frames], Tensor]
    """The weights and a clip's frames (T, H, W, 3) → the default pool, (D,), without any code of fouls' extraction."""
    num_frames: int | None = None
    tolerance: float = 2e-6
    """Of the largest value."""


def channels_first(frames: Frames) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def videomae(folder: Path, frames: Frames) -> Tensor:
    inputs = VideoMAEImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")
    return VideoMAEModel.from_pretrained(folder).eval()(**inputs).last_hidden_state.mean(1)[0]


def original(wrap: Callable[[dict[str, Tensor]], dict[str, Any]]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        put_config(folder)
        torch.save({"model": wrap(reference_state(tiny_keys(depth=3)))}, folder / "original.pth")
        return folder / "original.pth"

    return make


def original_direct(path: Path, frames: Frames) -> Tensor:
    """The same tensors in transformers' class, with the original's epsilon."""
    from transformers import VideoMAEConfig

    config = VideoMAEConfig(**json.loads((path.parent / "config.json").read_text()) | {"layer_norm_eps": 1e-6})
    model = VideoMAEModel(config).eval()
    state = convert(reference_state(tiny_keys(depth=3)))
    model.load_state_dict(
        {key.removeprefix("videomae."): value for key, value in state.items() if key.startswith("videomae.")}
    )
    size = config.image_size
    processor = VideoMAEImageProcessor(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    return model(**processor(list(frames), return_tensors="pt")).last_hidden_state.mean(1)[0]


def torchvision_file(construct: Callable[[], torch.nn.Module]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            torch.save(construct().state_dict(), folder / "net.pth")
        return folder / "net.pth"

    return make


def mvit(path: Path, frames: Frames) -> Tensor:
    model = mvit_v2_s().eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    model.head = torch.nn.Identity()
    return model(MViT_V2_S_Weights.KINETICS400_V1.transforms()(channels_first(frames))[None])[0]


def swin(path: Path, frames: Frames) -> Tensor:
    model = swin3d_t().eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    model.head = torch.nn.Identity()
    return model(Swin3D_T_Weights.KINETICS400_V1.transforms()(channels_first(frames))[None])[0]


def movinet_file(folder: Path) -> Path:
    folder.mkdir()
    torch.save(made_up_state(MoViNet(CONFIGS["a0"])), folder / "modelA0_statedict_v3")
    return folder / "modelA0_statedict_v3"


def movinet(path: Path, frames: Frames) -> Tensor:
    net = MoViNet(CONFIGS["a0"]).eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    size = CONFIGS["a0"].size
    from torchvision.transforms.v2 import functional as tv

    resized = tv.center_crop(tv.resize(channels_first(frames), [size], antialias=True), [size, size])
    features: Tensor = net((resized.float() / 255).transpose(0, 1)[None])
    return features.mean(1)[0]


def dinov2(folder: Path, frames: Frames) -> Tensor:
    return test_dinov2.reference(folder, frames).mean(0)


def vjepa2(folder: Path, frames: Frames) -> Tensor:
    return test_vjepa2.reference(folder, frames).mean(1)[0]


def videoprism(folder: Path, frames: Frames) -> Tensor:
    inputs = test_videoprism.processor()(channels_first(frames), return_tensors="pt")
    return VideoPrismVisionModel.from_pretrained(folder).eval()(**inputs).last_hidden_state.mean(1)[0]


def timm_folder(folder: Path) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(test_vit.timm_state(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(test_vit.AUGREG))
    return folder


EXACT = {"precision": "fp32", "stored_dtype": "float32"}
"""What differs from the model is then the order of sums alone."""

FORMATS = (
    Format("hub", "videomae", tiny_checkpoint, videomae),
    Format("original", "videomae", original(lambda state: state), original_direct),
    Format("encoder", "videomae", original(lambda s: {f"encoder.{k}": v for k, v in s.items()}), original_direct),
    Format("mmaction2", "videomae", original(as_mmaction2), original_direct),
    Format("mvit_pth", "mvit", torchvision_file(mvit_v2_s), mvit),
    Format("swin_pth", "swin3d_t", torchvision_file(swin3d_t), swin, num_frames=4),
    Format("movinet", "movinet_a0", movinet_file, movinet, num_frames=6, tolerance=1e-5),
    Format(
        "dinov2",
        "dinov2",
        lambda folder: save_parts(
            folder,
            made_up(Dinov2Model, Dinov2Config(**test_dinov2.TINY)),
            BitImageProcessor(**test_dinov2.PROCESSOR),
        ),
        dinov2,
        num_frames=4,
        tolerance=2e-2,  # its own processor resizes with Pillow, a level of grey off here and there
    ),
    Format(
        "vjepa2",
        "vjepa2",
        lambda folder: save_parts(
            folder, made_up(VJEPA2Model, VJEPA2Config(**test_vjepa2.TINY)), VJEPA2VideoProcessor(**test_vjepa2.CROP)
        ),
        vjepa2,
        num_frames=4,
    ),
    Format(
        "videoprism",
        "videoprism",
        lambda folder: save_parts(
            folder,
            made_up(VideoPrismVisionModel, VideoPrismVisionConfig(**test_videoprism.TINY)),
            test_videoprism.processor(),
        ),
        videoprism,
    ),
)


def check_store(project: Project, direct: Callable[[Frames], Tensor], tolerance: float) -> None:
    """Every row of the store equals the model on the frames that the row index names."""
    store = project.store()
    (pool,) = store.pools
    assert store.rows().num_rows == 2
    for row in store.rows().to_pylist():
        indices = np.array(row["frame_indices"])
        with open_video(str(project.videos / f"{row['video_id']}.mp4")) as reader:
            found = dict(zip(np.unique(indices).tolist(), reader.read(np.unique(indices)), strict=True))
        with torch.no_grad():
            expected = direct(np.stack([found[index] for index in indices.tolist()])).numpy()
        assert np.abs(store[pool][row["row"]] - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kind", FORMATS, ids=[kind.name for kind in FORMATS])
def test_a_checkpoint_through_extract_equals_the_model(project: Project, tmp_path: Path, kind: Format) -> None:
    weights = kind.make(tmp_path / "checkpoint")
    report = project.extract(backbone=kind.backbone, weights=str(weights), num_frames=kind.num_frames, limit=2, **EXACT)
    assert (report.summary.done, report.summary.failed) == (2, 0)
    check_store(project, lambda frames: kind.direct(weights, frames), kind.tolerance)


def test_a_checkpoint_of_slowfast(project: Project, tmp_path: Path, shared: Path) -> None:
    """SlowFast's names and shapes; torchvision's own model has the same tensors."""
    state = reference_state(shared / "reference" / "sf_mvitv2_s_16x4_keys.json")
    torch.save({"model_state": state, "epoch": 200}, tmp_path / "slowfast.pyth")
    project.extract(backbone="mvit", weights=str(tmp_path / "slowfast.pyth"), limit=2, **EXACT)
    model = mvit_v2_s().eval()
    model.load_state_dict(from_slowfast(state))
    model.head = torch.nn.Identity()
    transforms = MViT_V2_S_Weights.KINETICS400_V1.transforms()
    check_store(project, lambda frames: model(transforms(channels_first(frames))[None])[0], tolerance=1e-5)


@pytest.mark.parametrize("name", ["Timesformer", "Vivit"])
def test_any_video_classifier_of_transformers(project: Project, tmp_path: Path, name: str) -> None:
    processor = test_hf.processor_of(name)
    folder = save_parts(tmp_path / "checkpoint", test_hf.model_of(name), processor)
    project.extract(backbone=f"hf:{folder}", weights=None, limit=2, **EXACT)
    check_store(project, lambda frames: test_hf.reference(folder, processor, frames)[0][0, 0], tolerance=2e-6)


def test_a_folder_of_timm_too(project: Project, tmp_path: Path) -> None:
    """timm's ViT, written out, on the pictures that fouls makes of the frames (its transforms are tested apart)."""
    weights = timm_folder(tmp_path / "checkpoint")
    project.extract(backbone="vit", weights=str(weights), num_frames=3, limit=1, **EXACT)
    from fouls.pipeline.backbones.loading import load_backbone

    backbone = load_backbone("vit", weights=str(weights), num_frames=3)
    row = project.store().rows().to_pylist()[0]
    with open_video(str(project.videos / f"{row['video_id']}.mp4")) as reader:
        frames = np.stack(list(reader.read(np.array(row["frame_indices"]))))
    images = backbone.preprocess(frames[None])[0].transpose(0, 1)
    expected = test_vit.timm_forward(test_vit.timm_state(), images).mean(0).numpy()
    np.testing.assert_allclose(project.store()["mean"][0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_relative_folder_reaches_the_workers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    save_parts(project.path / "net", test_hf.model_of("Timesformer"), test_hf.processor_of("Timesformer"))
    for name in ("here", "cluster"):
        executor = ExecutorOptions(workers=2) if name == "cluster" else ExecutorOptions(device="cpu")
        report = project.extract(name, backbone="hf:net", weights=None, limit=3, executor=executor)
        assert (report.summary.done, report.summary.failed) == (3, 0)
    assert project.store("here").fingerprint == project.store("cluster").fingerprint
