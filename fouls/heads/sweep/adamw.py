"""AdamW for K models at once, with a learning rate and a weight decay a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class StackedAdamW:
    """``torch.optim.AdamW`` with its defaults (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), K times.

    As in :func:`fouls.heads.train.parameter_groups` only matrices and kernels decay.

    Every value is in one vector, and torch's fused step takes them all at once. It knows one learning rate: what it
    works on is θ / lr, whose step with rate 1 is that of θ with rate lr, for the moments do not depend on the rate.

    Attributes:
        parameters: (K, …) each, leaves that an in-place change of the vector changes.
        vector: all values θ.
    """

    def __init__(self, values: Sequence[Tensor], lr: Tensor, weight_decay: Tensor) -> None:
        """Start with empty moments.

        Args:
            values: (K, …) each, the first values of the parameters; they are copied.
            lr: (K,)
            weight_decay: (K,)
        """
        self._shapes = [value.shape for value in values]
        self.vector = torch.cat([value.detach().flatten() for value in values])
        self._lr, self._decay = lr[:, None], (lr * weight_decay)[:, None]  # (K, 1)
        self._scaled = self.vector / self._of_values(lr)
        self._scaled.grad = torch.empty_like(self._scaled)
        self._optimiser = torch.optim.AdamW([self._scaled], lr=1.0, weight_decay=0.0, fused=True)
        self.parameters = [view.detach().requires_grad_() for view in self.views(self.vector)]
        self._gradients = [view.flatten(1) for view in self.views(self._scaled.grad)]
        self._scaled_parts, self._parts = (
            [view.flatten(1) for view in self.views(vector)] for vector in (self._scaled, self.vector)
        )
        self._decaying = [part for part, shape in zip(self._scaled_parts, self._shapes, strict=True) if len(shape) > 2]

    def views(self, vector: Tensor) -> list[Tensor]:
        """The parts of a vector as long as all values, (K, …) each, in the order of the parameters."""
        parts = torch.split(vector, [shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

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
        for part in self._decaying:
            part.mul_(1 - factor * self._decay)
        self._optimiser.param_groups[0]["lr"] = factor
        self._optimiser.step()
        for scaled, values in zip(self._scaled_parts, self._parts, strict=True):
            torch.mul(scaled, self._lr, out=values)

    def only(self, kept: Tensor, lr: Tensor, weight_decay: Tensor) -> StackedAdamW:
        """The same with some of the models.

        Args:
            kept: (K',) which, in order.
            lr: (K',)
            weight_decay: (K',)
        """
        smaller = StackedAdamW([view[kept] for view in self.parameters], lr, weight_decay)
        state = self._optimiser.state[self._scaled]
        smaller._optimiser.state[smaller._scaled] = {
            name: value if value.ndim == 0 else self.picked(value, kept) for name, value in state.items()
        }
        smaller._scaled.copy_(self.picked(self._scaled, kept))
        return smaller

    def picked(self, vector: Tensor, kept: Tensor) -> Tensor:
        """A vector as long as all values, for some of the models."""
        return torch.cat([view[kept].flatten() for view in self.views(vector)])

    def _of_values(self, of_models: Tensor) -> Tensor:
        """A number a model, (K,), for each of its values, as the vector has them."""
        return torch.cat([of_models.repeat_interleave(shape[1:].numel()) for shape in self._shapes])
