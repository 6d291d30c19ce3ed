from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fouls.cache.spec import WeightsSpec
from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.backbone import Backbone, Net
from fouls.pipeline.backbones.movinet import published
from fouls.pipeline.backbones.movinet.builder import build, stream_features
from fouls.pipeline.backbones.movinet.configs import CONFIGS
from fouls.pipeline.backbones.movinet.net import MoViNet, StreamMoViNet
from fouls.pipeline.backbones.registry import BackboneEntry, BuildRequest
from fouls.pipeline.backbones.weights import WeightsSource, parse_weights
from tests.pipeline.backbones.movinet.nets import made_up_state, noise, with_weights

ENTRY = BackboneEntry(
    build="fouls.pipeline.backbones.movinet.builder:build",
    dim=480,
    num_frames=50,
    size=172,
    pools={"pooled": (480,), "hidden": (2048,), "temporal": (50, 480), "logits": (600,)},
    weights="modelA0_statedict_v3",
)


def request(name: str, weights: str, num_frames: int | None = None) -> BuildRequest:
    return BuildRequest(name=name, entry=ENTRY, source=parse_weights(weights), num_frames=num_frames)


def backbone(net: Net, precision: Any = "fp32") -> Backbone:
    return Backbone(net, weights=WeightsSpec(sha256=""), device=torch.device("cpu"), precision=precision)


def save(state: dict[str, Tensor], path: Path) -> str:
    torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def base_state() -> dict[str, Tensor]:
    return made_up_state(MoViNet(CONFIGS["a0"]))


@pytest.fixture(scope="module")
def base_file(base_state, tmp_path_factory) -> str:
    return save(base_state, tmp_path_factory.mktemp("weights") / "modelA0_statedict_v3")


@pytest.fixture(scope="module")
def stream_file(tmp_path_factory) -> str:
    state = made_up_state(StreamMoViNet(CONFIGS["a0"]))
    return save(state, tmp_path_factory.mktemp("weights") / "modelA0_stream_statedict_v3")


def test_a_published_file_becomes_a_backbone(base_file):
    net = build(request("movinet_a0", base_file, num_frames=3))
    loaded = backbone(net)
    assert loaded.name == "movinet_a0"
    assert loaded.default_pool == "pooled"
    assert loaded.pools == {"pooled": (480,), "hidden": (2048,), "temporal": (3, 480), "logits": (600,)}
    frames = (noise(1, 3, 172, 172, 3) * 255).to(torch.uint8)
    features = loaded.encode(frames, loaded.pools)
    direct = with_weights(MoViNet(CONFIGS["a0"]))
    frame_features = direct(frames.permute(0, 4, 1, 2, 3).float() / 255)  # RGB from 0 to 1, nothing else
    torch.testing.assert_close(features["temporal"], frame_features, atol=1e-6, rtol=0)
    torch.testing.assert_close(features["pooled"], frame_features.mean(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(features["logits"], direct.classifier(frame_features.mean(1)), atol=1e-6, rtol=0)
    torch.testing.assert_close(features["logits"], direct.classifier[3](features["hidden"]), atol=1e-6, rtol=0)


def test_preprocessing_fills_the_input_with_the_short_side():
    loaded = backbone(build(request("movinet_a0", "random:0", num_frames=2)))
    white = np.full((1, 2, 90, 160, 3), 255, dtype=np.uint8)
    x = loaded.preprocess(white)
    assert x.shape == (1, 3, 2, 172, 172)
    torch.testing.assert_close(x, torch.ones_like(x), atol=1e-6, rtol=0)


def test_a_stream_net_goes_on_with_a_video(stream_file):
    net = build(request("movinet_a0_stream", stream_file, num_frames=5))
    video = noise(1, 3, 5, 64, 48)
    frames = net.tokens(video)
    clip = {name: pool.compute(frames) for name, pool in net.pools.items()}
    state, temporal = None, []
    for sub_clip in video.split([2, 1, 2], dim=2):
        features, state = stream_features(net.module, net.pools, sub_clip, state, ["pooled", "hidden", "temporal"])
        assert list(features) == ["pooled", "hidden", "temporal"]
        temporal.append(features["temporal"])
    assert [len(steps[0]) for steps in temporal] == [2, 1, 2]
    torch.testing.assert_close(torch.cat(temporal, 1), clip["temporal"], atol=1e-6, rtol=0)
    torch.testing.assert_close(features["pooled"], clip["pooled"], atol=1e-6, rtol=0)
    torch.testing.assert_close(features["hidden"], clip["hidden"], atol=1e-6, rtol=0)


def test_the_gate_belongs_to_the_name(stream_file):
    port = build(request("movinet_a0_stream", stream_file))
    graph = build(request("movinet_a0_stream_relu6", stream_file))
    assert (port.name, graph.name) == ("movinet_a0_stream", "movinet_a0_stream_relu6")
    video = noise(1, 3, 2, 64, 48)
    assert (port.tokens(video) - graph.tokens(video)).abs().max() > 1e-4


def test_made_up_weights_are_of_their_seed_and_do_not_fade_out():
    video = noise(1, 3, 2, 64, 48)
    for name in ("movinet_a0", "movinet_a0_stream"):
        one, same, other = (build(request(name, f"random:{seed}")).tokens(video) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert 0.01 < one.std() < 100


def test_half_precision_keeps_what_pools_read_in_fp32():
    for name in ("movinet_a0", "movinet_a0_stream"):
        exact = backbone(build(request(name, "random:0", num_frames=2)))
        half = backbone(build(request(name, "random:0", num_frames=2)), "bf16")
        frames = (noise(1, 2, 172, 172, 3) * 255).to(torch.uint8)
        theirs, ours = exact.encode(frames)["pooled"], half.encode(frames)["pooled"]
        assert ours.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(ours, theirs).item() > 0.99
        assert half.encode(frames, ["logits"])["logits"].dtype == torch.float32


def test_classes_follow_the_weights(base_state, tmp_path):
    fewer = {key: tensor[:7] if key.startswith("classifier.3.") else tensor for key, tensor in base_state.items()}
    net = build(request("movinet_a0", save(fewer, tmp_path / "seven.pth")))
    assert net.pools["logits"].shape == (7,)
    headless = {key: tensor for key, tensor in base_state.items() if not key.startswith("classifier.")}
    net = build(request("movinet_a0", save(headless, tmp_path / "headless.pth")))
    assert list(net.pools) == ["pooled", "temporal"]


def test_weights_that_do_not_fit(base_file, base_state, tmp_path):
    for other in ("movinet_a0_stream", "movinet_a1"):
        with pytest.raises(WeightsError, match=f"are those of movinet_a0, not {other}: type --backbone movinet_a0"):
            build(request(other, base_file))
    reshaped = base_state | {"conv1.conv_1.conv3d.weight": torch.zeros(8, 3, 3, 3, 3)}
    with pytest.raises(WeightsError, match=r"conv3d\.weight is \(8, 3, 3, 3, 3\) instead of \(8, 3, 1, 3, 3\)"):
        build(request("movinet_a0", save(reshaped, tmp_path / "reshaped.pth")))
    partial = {key: tensor for key, tensor in base_state.items() if not key.startswith("classifier.0.")}
    with pytest.raises(WeightsError, match=r"2 missing \(classifier\.0\.conv_1\.conv3d\.bias"):
        build(request("movinet_a0", save(partial, tmp_path / "partial.pth")))
    with pytest.raises(WeightsError, match="are a folder; movinet_a0 reads a file"):
        build(request("movinet_a0", str(tmp_path)))


@pytest.mark.parametrize("size", ["a3", "a4", "a5"])
def test_larger_stream_nets_do_not_exist(size):
    with pytest.raises(BackboneError, match=f"positional encodings.*movinet_a2_stream, and movinet_{size} for clips"):
        build(request(f"movinet_{size}_stream", "random:0"))


def test_other_names_and_numbers_of_frames():
    with pytest.raises(BackboneError, match="sizes of MoViNet are a0, a1"):
        build(request("movinet_a7", "random:0"))
    with pytest.raises(BackboneError, match="takes 1 frame a clip or more, not 0"):
        build(request("movinet_a0", "random:0", num_frames=0))


@pytest.fixture
def torch_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    """A folder that is served where the published weights would be."""
    folder = tmp_path_factory.mktemp("served")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as httpd:
        monkeypatch.setattr(published, "FOLDER_URL", f"http://127.0.0.1:{httpd.server_port}")
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        httpd.shutdown()
        thread.join()


def test_published_weights_are_downloaded_once(base_file, torch_home, server):
    (server / "modelA0_statedict_v3").write_bytes(Path(base_file).read_bytes())
    asked = request("movinet_a0", "modelA0_statedict_v3")
    assert asked.source.kind == "name"
    first = build(asked)
    (server / "modelA0_statedict_v3").unlink()
    second = build(asked)
    assert (torch_home / "hub" / "checkpoints" / "modelA0_statedict_v3").is_file()
    video = noise(1, 3, 1, 32, 32)
    assert torch.equal(first.tokens(video), second.tokens(video))


def test_published_weights_that_cannot_be_had(torch_home, server):
    with pytest.raises(WeightsError, match=r"can't be had from .*404.*--weights FILE of a copy.*random:0"):
        build(request("movinet_a0", "modelA0_statedict_v3"))
    assert not list(torch_home.rglob("model*"))


def test_names_that_are_not_published():
    with pytest.raises(WeightsError, match="'kinetics' are no file and not published; there is: modelA1_stream_stated"):
        published.fetch(WeightsSource(kind="name", text="kinetics"), published.published_weights("a1", stream=True))
