"""A video in sub-clips of whatever lengths gives what the whole gives, and what is remembered stays small."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fouls.errors import BackboneError
from fouls.pipeline.backbones.movinet.net import StreamMoViNet
from fouls.pipeline.backbones.movinet.streaming import StreamState, running_means
from tests.pipeline.backbones.movinet.nets import noise, tiny_base, tiny_stream


@pytest.fixture(scope="module")
def net() -> StreamMoViNet:
    return tiny_stream()


def run(net: StreamMoViNet, video: Tensor, lengths: list[int]) -> tuple[Tensor, list[StreamState]]:
    """Frame features of a video in sub-clips, and the state after each."""
    state, states, features = None, [], []
    for clip in video.split(lengths, dim=2):
        frames, state = net.stream(clip, state)
        features.append(frames)
        states.append(state)
    return torch.cat(features, 1), states


def tensors(state: StreamState) -> list[Tensor]:
    found = [state.mean.total]
    for block in state.blocks:
        found += [block.mean.total] + ([] if block.frames is None else [block.frames])
    return found


@pytest.mark.parametrize("lengths", [[1] * 11, [3, 1, 7], [10, 1], [1, 10], [2, 2, 2, 5], [4, 4, 3]])
def test_sub_clips_equal_the_whole(net, lengths):
    video = noise(2, 3, 11, 26, 34)
    whole, (last,) = run(net, video, [11])
    parts, states = run(net, video, lengths)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)
    assert states[-1].num_frames == last.num_frames == 11
    for ours, theirs in zip(tensors(states[-1]), tensors(last), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # sums over 11 frames
    torch.testing.assert_close(net(video), whole, atol=0, rtol=0)


def test_state_after_each_sub_clip_pools_what_was_seen(net):
    video = noise(1, 3, 9, 26, 34)
    whole = net(video)
    _, states = run(net, video, [4, 2, 3])
    for state, seen in zip(states, (4, 6, 9), strict=True):
        torch.testing.assert_close(state.mean.value, whole[:, :seen].mean(1), atol=1e-6, rtol=0)


def test_the_future_does_not_count(net):
    video = noise(1, 3, 8, 26, 34)
    changed = video.clone()
    changed[:, :, 5:] = 0
    assert torch.equal(net(video)[:, :5], net(changed)[:, :5])
    assert not torch.equal(net(video)[:, 5], net(changed)[:, 5])
    base = tiny_base()
    assert not torch.equal(base(video)[:, :5], base(changed)[:, :5])  # a base net looks both ways


def test_the_net_remembers_nothing(net):
    first, second = noise(1, 3, 6, 26, 34), noise(1, 3, 6, 26, 34, seed=8)
    expected, _ = net.stream(second, None)
    _, state = net.stream(first, None)
    frozen = [tensor.clone() for tensor in tensors(state)]
    one, _ = net.stream(second, state)
    two, _ = net.stream(second, state)
    fresh, _ = net.stream(second, None)
    assert torch.equal(one, two)  # a state can be used again
    assert all(torch.equal(before, after) for before, after in zip(frozen, tensors(state), strict=True))
    assert torch.equal(fresh, expected)  # a new video begins without the last one
    assert not torch.equal(one, fresh)


def test_videos_of_a_batch_do_not_mix(net):
    videos = noise(3, 3, 5, 26, 34)
    together, _ = run(net, videos, [2, 3])
    for index in range(3):
        alone, _ = run(net, videos[index : index + 1], [2, 3])
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-6, rtol=0)


def test_memory_does_not_grow(net):
    def held(state: StreamState) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors(state))

    video = noise(1, 3, 40, 16, 16)
    _, states = run(net, video, [4] * 10)
    _, (whole,) = run(net, video, [40])
    assert {held(state) for state in states} == {held(whole)}


@pytest.mark.parametrize("shape", [(2, 3, 2, 26, 34), (1, 3, 2, 34, 26)])
def test_a_state_of_other_videos_is_refused(net, shape):
    _, state = net.stream(noise(1, 3, 2, 26, 34), None)
    with pytest.raises(BackboneError, match=r"of the shape \(B, H, W\) = \(1, 26, 34\)"):
        net.stream(noise(*shape), state)


def test_a_sub_clip_without_frames_is_refused(net):
    with pytest.raises(BackboneError, match="has no frames"):
        net.stream(noise(1, 3, 0, 26, 34), None)


def test_states_are_frozen(net):
    _, state = net.stream(noise(1, 3, 2, 26, 34), None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.mean.num_frames = 0


def test_means_in_half_precision_go_on_in_fp32():
    net = tiny_stream().to(torch.bfloat16)
    features, state = net.stream(noise(1, 3, 3, 26, 34).bfloat16(), None)
    assert features.dtype == state.mean.total.dtype == torch.float32
    assert all(block.mean.total.dtype == torch.float32 for block in state.blocks)
    assert features.isfinite().all()


def test_running_means_by_hand():
    values = torch.tensor([[[2.0], [4.0], [9.0]]])
    means, past = running_means(values[:, :2], None)
    assert means.flatten().tolist() == [2, 3]
    means, past = running_means(values[:, 2:], past)
    assert means.flatten().tolist() == [5]
    assert (past.num_frames, past.value.item()) == (3, 5)
