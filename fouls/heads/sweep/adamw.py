"""AdamW for K models at once, with a learning rate and a weight decay a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class StackedAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), with the defaults of ``torch.optim.AdamW``.

    As in :func:`fouls.heads.train.parameter_groups` only matrices and kernels decay. Every value is worked on in one
    vector, for there are many small parameters; the parameters are views of it.

    Attributes:
        parameters: (K, …) each, leaves that an in-place change of the vector changes.
    """

    def __init__(self, values: Sequence[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        """Start with empty moments.

        Args:
            values: (K, …) each, the first values of the parameters; they are copied.
            lr: (K,)
            weight_decay: (K,)
        """
        decays = [value.ndim > 2 for value in values]
        order = sorted(range(len(values)), key=lambda index: not decays[index])  # those that decay lie together
        self.vector = torch.cat([values[index].detach().flatten() for index in order])
        self.means = torch.zeros_like(self.vector)
        self.squares = torch.zeros_like(self.vector)
        self._gradient = torch.empty_like(self.vector)
        self._change = torch.empty_like(self.vector)
        self._num_decaying = sum(value.numel() for value, does in zip(values, decays, strict=True) if does)
        self._shapes = [value.shape for value in values]
        self._order = order
        self._lr = self._of_values(lr)
        self._decay = self._of_values(lr * weight_decay)[: self._num_decaying]
        self.parameters = [view.detach().requires_grad_() for view in self.views(self.vector)]
        self._gradients = [view.flatten(1) for view in self.views(self._gradient)]
        self.num_steps = 0

    def views(self, vector: Tensor) -> list[Tensor]:
        """The parts of a vector as long as all values, (K, …) each, in the order of the parameters."""
        parts = torch.split(vector, [self._shapes[index].numel() for index in self._order])
        by_index = dict(zip(self._order, parts, strict=True))
        return [by_index[index].view(shape) for index, shape in enumerate(self._shapes)]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float, max_norm: float) -> None:
        """Change the parameters.

        Args:
            gradients: (K, …) each. The norm of each model's is cut to ``max_norm``, as ``clip_grad_norm_`` does.
            factor: of the schedule, on all learning rates.
            max_norm: see above.
        """
        flat = [gradient.flatten(1) for gradient in gradients]
        norms = torch.stack([torch.linalg.vector_norm(gradient, dim=1) for gradient in flat])
        kept = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)[:, None]  # (K, 1)
        for gradient, target in zip(flat, self._gradients, strict=True):
            torch.mul(gradient, kept, out=target)
        self.num_steps += 1
        first, second = (1 - beta**self.num_steps for beta in _BETAS)
        decaying = self.vector[: self._num_decaying]
        decaying.addcmul_(decaying, self._decay, value=-factor)
        self.means.lerp_(self._gradient, 1 - _BETAS[0])
        self.squares.mul_(_BETAS[1]).addcmul_(self._gradient, self._gradient, value=1 - _BETAS[1])
        torch.sqrt(self.squares, out=self._change).add_(_EPSILON * second**0.5)
        torch.div(self.means, self._change, out=self._change)
        self.vector.addcmul_(self._change, self._lr, value=-factor * second**0.5 / first)

    def only(self, kept: Tensor, lr: Tensor, weight_decay: Tensor) -> StackedAdamW:
        """The same with some of the models.

        Args:
            kept: (K',) which, in order.
            lr: (K',)
            weight_decay: (K',)
        """
        smaller = StackedAdamW([view[kept] for view in self.parameters], lr, weight_decay)
        for ours, theirs in ((self.means, smaller.means), (self.squares, smaller.squares)):
            for source, target in zip(self.views(ours), smaller.views(theirs), strict=True):
                target.copy_(source[kept])
        smaller.num_steps = self.num_steps
        return smaller

    def _of_values(self, of_models: Tensor) -> Tensor:
        """A number a model, (K,), for each of its values, as the vector has them."""
        return torch.cat([of_models.repeat_interleave(self._shapes[index][1:].numel()) for index in self._order])
