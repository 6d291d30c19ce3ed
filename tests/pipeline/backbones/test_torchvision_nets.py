from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import video

from fouls.errors import BackboneError, ConfigError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import BACKBONES
from tests.pipeline.backbones.checkpoints import video_clip

NETS = {
    "mvit_v1_b": (video.mvit_v1_b, video.MViT_V1_B_Weights.KINETICS400_V1),
    "mvit_v2_s": (video.mvit_v2_s, video.MViT_V2_S_Weights.KINETICS400_V1),
    "swin3d_t": (video.swin3d_t, video.Swin3D_T_Weights.KINETICS400_V1),
}


def made_up(construct, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return construct(**options).eval()


def run_reference(model, x):
    """torchvision's own forward pass: what comes out of the final norm, and the logits."""
    normed = []
    hook = model.norm.register_forward_hook(lambda module, inputs, output: normed.append(output))
    with torch.no_grad():
        logits = model(x)
    hook.remove()
    return normed[0], logits


def assert_parity(backbone, frames, x, expected):
    """Compare with torchvision on the frames, and on the input that its transforms made of them."""
    assert set(expected) == set(backbone.pools)
    ours, same_input = backbone.encode(frames[None], expected), backbone.features(x, expected)
    for pool, theirs in expected.items():
        assert ours[pool].shape == theirs.shape == (1, *backbone.pools[pool])
        cosine = torch.cosine_similarity(ours[pool].double().flatten(1), theirs.double().flatten(1))
        assert cosine.min() >= 0.9999999
        # Where it comes from: torchvision divides by 255 and then normalises, fouls does both in one step, which
        # makes 2.4e-7 in the input; of that the nets were seen to make at most 8e-7 of the largest feature.
        assert (ours[pool] - theirs).abs().max() <= 4e-6 * theirs.abs().max()
        # On the same input only the order of sums is left: of a mean, and in the attention.
        assert (same_input[pool] - theirs).abs().max() <= 2e-6 * theirs.abs().max()


@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s"])
def test_mvit_equals_torchvision(name, tmp_path):
    construct, weights = NETS[name]
    model = made_up(construct)
    torch.save(model.state_dict(), tmp_path / "mvit.pth")
    frames = video_clip(tmp_path, 16, height=120, width=160)
    x = weights.transforms()(torch.from_numpy(frames).permute(0, 3, 1, 2))[None]
    tokens, logits = run_reference(model, x)  # (1, 1 + 8·49, 768)
    backbone = load_backbone(name, weights=str(tmp_path / "mvit.pth"))
    assert backbone.pools == BACKBONES[name].pools
    patches = tokens[:, 1:]
    expected = {
        "cls": tokens[:, 0],
        "mean": patches.mean(1),
        "temporal": patches.reshape(1, 8, 49, 768).mean(2),
        "logits": logits,
    }
    assert_parity(backbone, frames, x, expected)


@pytest.mark.parametrize("num_frames", [8, 5])
def test_swin_equals_torchvision(num_frames, tmp_path):
    construct, weights = NETS["swin3d_t"]
    model = made_up(construct, num_classes=7)
    save_file(model.state_dict(), tmp_path / "swin.safetensors")
    frames = video_clip(tmp_path, num_frames, height=130, width=100)
    x = weights.transforms()(torch.from_numpy(frames).permute(0, 3, 1, 2))[None]
    grid, logits = run_reference(model, x)  # (1, T', 7, 7, 768)
    backbone = load_backbone("swin3d_t", weights=str(tmp_path / "swin.safetensors"), num_frames=num_frames)
    steps = -(-num_frames // 2)
    assert backbone.pools == {"mean": (768,), "temporal": (steps, 768), "logits": (7,)}
    expected = {"mean": grid.mean((1, 2, 3)), "temporal": grid.mean((2, 3)), "logits": logits}
    assert_parity(backbone, frames, x, expected)


CONVOLUTIONAL = {
    "r3d_18": (video.r3d_18, video.R3D_18_Weights.KINETICS400_V1, "layer4"),
    "mc3_18": (video.mc3_18, video.MC3_18_Weights.KINETICS400_V1, "layer4"),
    "r2plus1d_18": (video.r2plus1d_18, video.R2Plus1D_18_Weights.KINETICS400_V1, "layer4"),
    "s3d": (video.s3d, video.S3D_Weights.KINETICS400_V1, "features"),
}


def with_statistics(model):
    """Batch norms as after training: none of them is the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.1)
    return model


@pytest.mark.parametrize(("name", "num_frames"), [("r3d_18", 5), ("mc3_18", 3), ("r2plus1d_18", 9), ("s3d", 17)])
def test_convolutional_nets_equal_torchvision(name, num_frames, tmp_path):
    construct, weights, last = CONVOLUTIONAL[name]
    model = with_statistics(made_up(construct, num_classes=7))
    torch.save(model.state_dict(), tmp_path / "net.pth")
    frames = video_clip(tmp_path, num_frames, height=100, width=140)
    x = weights.transforms()(torch.from_numpy(frames).permute(0, 3, 1, 2))[None]
    maps = []
    getattr(model, last).register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        logits = model(x)
    backbone = load_backbone(name, weights=str(tmp_path / "net.pth"), num_frames=num_frames)
    expected = {"mean": maps[0].mean((2, 3, 4)), "temporal": maps[0].mean((3, 4)).mT, "logits": logits}
    assert_parity(backbone, frames, x, expected)


def test_convolutional_nets_without_a_classifier(tmp_path):
    for name, head in (("r3d_18", "fc."), ("s3d", "classifier.")):
        model = made_up(CONVOLUTIONAL[name][0])
        state = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith(head)}
        torch.save(state, tmp_path / f"{name}.pth")
        assert list(load_backbone(name, weights=str(tmp_path / f"{name}.pth")).pools) == ["mean", "temporal"]


def test_files_of_before_batches_were_counted(tmp_path):
    state = made_up(video.mc3_18).state_dict()
    torch.save(state, tmp_path / "new.pth")
    torch.save({key: tensor for key, tensor in state.items() if "num_batches" not in key}, tmp_path / "old.pth")
    new, old = (load_backbone("mc3_18", weights=str(tmp_path / f"{age}.pth")) for age in ("new", "old"))
    assert old.weights == new.weights


def test_r3d_is_stretched_to_a_rectangle():
    spec = load_backbone("r3d_18", weights="random:0").preprocessing
    assert (spec.resize, spec.resize_to, spec.resize_width, spec.crop) == ("stretch", 128, 171, 112)
    square = load_backbone("s3d", weights="random:0").preprocessing
    assert (square.resize, square.resize_to, square.resize_width, square.crop) == ("stretch", 256, None, 224)


@pytest.mark.parametrize("name", ["swin3d_t", "swin3d_s", "swin3d_b"])
def test_swin_facts(name):
    backbone = load_backbone(name, weights="random:0")
    assert (backbone.name, backbone.num_frames) == (name, 32)
    assert backbone.pools == BACKBONES[name].pools


def test_weights_without_a_classifier(tmp_path):
    state = {key: value for key, value in made_up(video.swin3d_t).state_dict().items() if not key.startswith("head.")}
    torch.save(state, tmp_path / "headless.pth")
    assert list(load_backbone("swin3d_t", weights=str(tmp_path / "headless.pth")).pools) == ["mean", "temporal"]


def test_published_weights_out_of_reach_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WeightsError) as caught:
        load_backbone("mvit")
    message = str(caught.value)
    assert "\n" not in message
    assert "can't be had from https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth" in message
    assert "--weights FILE" in message
    assert "--weights random:0" in message


def test_published_weights_that_lie_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    state = made_up(video.mvit_v2_s).state_dict()
    torch.save(state, tmp_path / "hub" / "checkpoints" / "mvit_v2_s-ae3be167.pth")
    torch.save(state, tmp_path / "copy.pth")
    by_name = load_backbone("mvit", weights="MViT_V2_S_Weights.KINETICS400_V1", pretrained_source="kinetics")
    assert by_name.weights == load_backbone("mvit_v2_s", weights=str(tmp_path / "copy.pth")).weights
    (tmp_path / "hub" / "checkpoints" / "mvit_v2_s-ae3be167.pth").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(WeightsError, match="'KINETICS400_V1' can't be read: PytorchStreamReader failed"):
        load_backbone("mvit")


def test_swin_b_takes_the_stronger_weights():
    entry = BACKBONES["swin3d_b"]
    assert entry.weights == entry.sources["imagenet"] == "KINETICS400_IMAGENET22K_V1"
    assert entry.sources["kinetics"] == "KINETICS400_V1"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "mvit", "weights": "KINETICS600"}, WeightsError, "not published for mvit; there are: KINETICS400_V1"),
        ({"name": "swin3d_b", "weights": "DEFAULT"}, WeightsError, "there are: KINETICS400_V1, KINETICS400_IMAGENET22"),
        ({"name": "mvit", "pretrained_source": "imagenet"}, BackboneError, r"there are: kinetics \(KINETICS400_V1\)"),
        ({"name": "mvit", "pretrained_source": "ssv2"}, ConfigError, "allowed: auto, kinetics, imagenet"),
        ({"name": "mvit", "weights": "."}, WeightsError, r"are a folder; mvit reads a .pth or .safetensors file"),
        ({"name": "mvit", "weights": "random:0", "num_frames": 8}, BackboneError, "takes 16 frames a clip, not 8"),
        ({"name": "swin3d_t", "weights": "random:0", "num_frames": 0}, BackboneError, "takes 1 frame a clip or more"),
        ({"name": "s3d", "weights": "random:0", "num_frames": 13}, BackboneError, "takes 14 frames a clip or more"),
    ],
)
def test_what_does_not_exist(options, error, message):
    with pytest.raises(error, match=message):
        load_backbone(**options)
