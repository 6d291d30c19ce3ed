"""The optimiser of a stack against torch's, model by model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fouls.heads.sweep.adamw import StackedAdamW
from fouls.heads.train import parameter_groups

RATES, DECAYS = [1e-3, 0.1, 0.03], [0.05, 0.0, 2.0]


def gradients_of(values: list[Tensor], step: int) -> list[Tensor]:
    """(K, …) each; of very different size from step to step, so that some are clipped and some are not."""
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(value.shape, generator=generator) * 10.0 ** (step % 3 - 2) for value in values]


def test_it_is_torchs_adamw_for_each_model() -> None:
    torch.manual_seed(0)
    modules = [nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 2)) for _ in RATES]
    values = [torch.stack(list(of_all)) for of_all in zip(*(module.parameters() for module in modules), strict=True)]
    stacked = StackedAdamW(values, torch.tensor(RATES), torch.tensor(DECAYS))
    singles = [
        torch.optim.AdamW(parameter_groups(module, decay), lr=lr)
        for module, lr, decay in zip(modules, RATES, DECAYS, strict=True)
    ]
    kept = [0, 1, 2]
    for step in range(8):
        factor = 1 - step / 10
        gradients = gradients_of(values, step)
        for number, (module, single) in enumerate(zip(modules, singles, strict=True)):
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                parameter.grad = gradient[number].clone()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            for group in single.param_groups:
                group["lr"] = RATES[number] * factor
            single.step()
        stacked.step([gradient[kept] for gradient in gradients], factor, 1.0)
        for place, number in enumerate(kept):
            for parameter, ours in zip(modules[number].parameters(), stacked.parameters, strict=True):
                torch.testing.assert_close(ours[place], parameter, rtol=1e-5, atol=1e-6)
        if step == 3:  # the middle one ends; the others go on as if nothing had happened
            kept = [0, 2]
            rates, decays = (torch.tensor([of_all[number] for number in kept]) for of_all in (RATES, DECAYS))
            stacked = stacked.only(torch.tensor(kept), rates, decays)


def test_a_model_that_goes_astray_leaves_the_others_alone() -> None:
    values = [torch.ones(2, 3, 4), torch.ones(2, 3)]
    alone, both = (StackedAdamW(values, torch.tensor([0.1, 0.1]), torch.tensor([0.0, 0.0])) for _ in range(2))
    for step in range(3):
        gradients = gradients_of(values, step)
        alone.step(gradients, 1.0, 1.0)
        broken = [gradient.clone() for gradient in gradients]
        broken[0][1, 0, 0] = torch.nan
        both.step(broken, 1.0, 1.0)
    for ours, wanted in zip(both.parameters, alone.parameters, strict=True):
        assert torch.equal(ours[0], wanted[0])
    assert both.parameters[0][1].isnan().all()
