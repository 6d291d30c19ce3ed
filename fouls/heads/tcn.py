"""``tcn``: dilated residual convolutions over the time steps of each track, for one class a sample or one a frame.

The block is that of temporal convolutional networks (Bai et al. 2018, arXiv 1803.01271) with GroupNorm and GELU;
the mask is multiplied in at every layer, as in MS-TCN (Abu Farha and Gall 2019, arXiv 1903.01945).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.errors import ConfigError
from fouls.heads.batch import InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, PoolingHeadConfig, check_range, check_steps
from fouls.heads.keypoints import check_keypoints
from fouls.heads.multi_task import MultiTaskHead
from fouls.heads.products import Linear
from fouls.heads.tasks import Task
from fouls.heads.time_convolution import TimeConvolution

_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class TcnConfig(PoolingHeadConfig):
    """Options of ``tcn``."""

    default_pools: ClassVar[tuple[str, ...]] = ("temporal",)
    low_precision: ClassVar[bool] = True

    hidden: int = 128
    """Feature maps of every block."""
    num_blocks: int = 3
    """Residual blocks; block i (0-based) has dilation 2^i."""
    kernel_size: int = 3
    """Time steps a convolution sees; odd."""
    num_groups: int = 8
    """Groups of GroupNorm; a divisor of ``hidden``."""
    dropout: float = 0.3
    """In every block, and before the outputs."""
    keypoints: bool = False
    """Regress the manifest's keypoints at every step, beside the tasks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("hidden", self.hidden, 1, 65536)
        check_range("blocks", self.num_blocks, 1, 16)
        check_range("dropout", self.dropout, 0, 1, open_end=True)
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ConfigError(f"kernel size is {self.kernel_size}; it must be odd, such as 3")
        if self.num_groups < 1 or self.hidden % self.num_groups:
            raise ConfigError(f"hidden is {self.hidden}; it must be a multiple of the {self.num_groups} norm groups")

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form: the mean over time, after the blocks, unless said otherwise.

        Raises:
            ConfigError: there is one step only, or keypoints are to be regressed that the manifest does not have.
        """
        if self.keypoints:
            check_keypoints(form)
        check_steps("tcn", form)
        return dataclasses.replace(self, time_pooling=self.time_pooling or "mean")

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return MultiTaskHead(
            self,
            form,
            tasks,
            trunk=lambda width: (Tcn(width, self), self.hidden),
            time_first=False,
            dropout=self.dropout,
            keypoints=self.keypoints,
        )


class Tcn(nn.Module):
    """A stack of blocks with dilations 1, 2, 4, …"""

    def __init__(self, dim: int, config: TcnConfig) -> None:
        super().__init__()
        widths = [dim, *[config.hidden] * config.num_blocks]
        self.blocks = nn.ModuleList(
            TcnBlock(width, config, dilation=2**index) for index, width in enumerate(widths[:-1])
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, T, D), 0 where the mask (N, T) is false, to (N, T, H), 0 there too."""
        keep = None if mask.all() else mask[..., None].float()  # (N, T, 1)
        dtype = x.dtype
        for block in self.blocks:
            x = block(x.to(dtype), keep)
        return x


class TcnBlock(nn.Module):
    """convolution → GroupNorm → GELU → dropout, + the input (through 1 × 1 where widths differ), × mask."""

    def __init__(self, dim: int, config: TcnConfig, *, dilation: int) -> None:
        super().__init__()
        self.convolution = TimeConvolution(dim, config.hidden, config.kernel_size, dilation=dilation)
        self.norm = MaskedGroupNorm(config.num_groups, config.hidden)
        self.dropout = Dropout(config.dropout)
        self.skip = Linear(dim, config.hidden) if dim != config.hidden else nn.Identity()

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """From x (N, T, D) and keep (N, T, 1), 1 or 0 (``None``: all 1), to (N, T, H)."""
        y: Tensor = self.dropout(F.gelu(self.norm(self.convolution(x), keep))) + self.skip(x)
        return y if keep is None else y * keep


class MaskedGroupNorm(nn.Module):
    """GroupNorm whose mean and variance are of the steps that are there: ``nn.GroupNorm`` would count the padding."""

    def __init__(self, num_groups: int, dim: int) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """From x (N, T, H) and keep (N, T, 1), 1 or 0 (``None``: all 1), to (N, T, H)."""
        if keep is None:  # torch's own does it in one step; x as (N, H, T, 1) is what it calls channels last
            steps = x.unsqueeze(2).permute(0, 3, 1, 2)
            normed = torch.group_norm(steps, self.num_groups, self.weight, self.bias, _EPSILON)
            return normed.permute(0, 2, 3, 1).squeeze(2)
        count = keep.sum(dim=1, keepdim=True)  # (N, 1, 1)
        centred = (x - self._group_mean(x * keep, count)) * keep
        variance = self._group_mean(centred.square(), count)  # (N, 1, H)
        return torch.addcmul(self.bias, centred * (variance + _EPSILON).rsqrt(), self.weight)

    def _group_mean(self, x: Tensor, count: Tensor) -> Tensor:
        """The mean over the steps and the features of each group, for each feature: (N, T, H) to (N, 1, H)."""
        of_features = x.sum(dim=1, keepdim=True) / count  # (N, 1, H)
        groups = of_features.reshape(len(x), 1, self.num_groups, -1)
        return groups.mean(dim=3, keepdim=True).expand_as(groups).flatten(2)
