from __future__ import annotations

import threading

import pytest
import torch

from fouls.pipeline.backbones.clip_threads import for_each_clip, on_one_thread


@pytest.fixture(params=[1, 2, 6])
def num_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def where(clip):
    return threading.get_ident(), torch.get_num_threads(), torch.is_inference_mode_enabled()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_clip_alone_in_order(num_threads, count):
    clips = torch.arange(count * 4.0).view(count, 2, 2)
    seen = for_each_clip(lambda clip: (tuple(clip.shape), clip.sum().item()), clips)
    assert seen == [((1, 2, 2), clip.sum().item()) for clip in clips]


@torch.inference_mode()
def test_threads_are_shared_out(num_threads):
    for count, workers in [(1, 1), (2, min(2, num_threads)), (12, num_threads)]:
        seen = for_each_clip(where, torch.zeros(count, 1))
        assert {(threads, inference) for _, threads, inference in seen} == {(num_threads // workers, True)}
        assert (workers == 1) == ({ident for ident, _, _ in seen} == {threading.get_ident()})
    assert torch.get_num_threads() == num_threads


def test_an_error_reaches_the_caller(num_threads):
    with pytest.raises(ZeroDivisionError):
        for_each_clip(lambda clip: 1 / int(clip.item()), torch.tensor([1, 0, 1]))
    assert for_each_clip(lambda clip: clip.item(), torch.tensor([1, 2])) == [1, 2]


def test_threads_begun_later_have_as_many_as_ever(num_threads):
    for_each_clip(where, torch.zeros(4, 1))
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [num_threads]


def test_one_thread_is_one_thread(num_threads):
    ident, threads, _ = on_one_thread(lambda: where(None))
    assert threads == 1
    assert (ident == threading.get_ident()) == (num_threads == 1)
    assert torch.get_num_threads() == num_threads
    with pytest.raises(ZeroDivisionError):
        on_one_thread(lambda: 1 / 0)
