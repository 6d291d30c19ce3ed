"""The two forms of a batch say the same."""

from __future__ import annotations

import torch

from fouls.heads.batch import Batch
from fouls.heads.masking import zero_padding


def padded() -> Batch:
    """Samples with 2, 0 and 1 tracks of 3, 1 and 2 steps."""
    x = torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([[3, 1], [0, 0], [2, 0]])
    return Batch(x=x, mask=torch.arange(3) < lengths[..., None], view_kinds=torch.zeros(3, 2, dtype=torch.int64))


def test_a_padded_batch_is_packed() -> None:
    batch = padded()
    assert len(batch) == 3
    assert batch.present.tolist() == [[True, True], [False, False], [True, False]]
    assert batch.places.tolist() == [0, 1, 4]
    assert batch.tracks.equal(torch.stack([batch.x[0, 0], batch.x[0, 1], batch.x[2, 0]]))
    assert batch.steps.tolist() == [[True, True, True], [True, False, False], [True, True, False]]


def test_a_packed_batch_is_padded() -> None:
    batch = padded()
    packed = Batch.packed(
        tracks=batch.tracks, steps=batch.steps, present=batch.present, view_kinds=batch.view_kinds, standardised=True
    )
    assert packed.mask.equal(batch.mask)
    assert packed.x.equal(batch.x * batch.present[..., None, None])
    other = packed.with_tracks(packed.tracks[:, :1] + 1, packed.steps[:, :1])
    assert other.x.shape == (3, 2, 1, 4)
    assert other.standardised
    assert other.with_steps(batch.x, batch.mask).tracks.equal(batch.tracks)


def test_what_belongs_to_tracks_goes_back_to_their_places_with_its_gradient() -> None:
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    places = padded().unpack(values)
    assert places.tolist() == [[1, 2], [0, 0], [3, 0]]
    (places * torch.arange(6.0).view(3, 2)).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 4]


def test_zero_padding_is_masked_fill() -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, False, True], [False, True, True]])
    dirty = x.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    clean = zero_padding(dirty, mask)
    assert clean.equal(x * mask[..., None])
    clean.square().sum().backward()
    assert dirty.grad is not None
    assert dirty.grad.equal(2 * x * mask[..., None])
    assert zero_padding(x, torch.ones(2, 3, dtype=torch.bool)) is x
    assert zero_padding(x[0], mask[0]).equal(clean[0])


def test_the_mean_over_the_tracks_of_each_sample() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]])
    assert padded().mean(values).tolist() == [[2, 4], [0, 0], [5, 7]]
