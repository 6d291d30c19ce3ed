"""A frozen backbone: a net, its preprocessing and its pools, on one device in one precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fouls.cache.spec import Precision, PreprocessingSpec, WeightsSpec
from fouls.errors import BackboneError
from fouls.pipeline.backbones.attention import AttentionKind, Tiling
from fouls.pipeline.backbones.clip_threads import for_each_clip
from fouls.pipeline.backbones.compiling import CompiledTokens
from fouls.pipeline.backbones.packed_linear import pack_linears, packing_pays
from fouls.pipeline.backbones.preprocessing import as_uint8_tensor, normalise, resize_and_crop

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How tokens become a feature."""

    shape: tuple[int, ...]
    """Of one row's feature."""
    compute: Callable[[Tensor], Tensor]
    """Tokens, (B, N, D) float32 → (B, *shape) float32."""
    grid: tuple[int, int, int] | None = None
    """(T', H, W) where a row is the tokens of such a grid, in this order."""


Stream = Callable[[Tensor, Any, Sequence[str]], tuple[dict[str, Tensor], Any]]
"""The next frames (B, 3, T, S, S), the state after those before them (``None`` at the beginning) and pools → float32
features by pool, and the state after these frames."""


@dataclass(frozen=True, kw_only=True)
class Net:
    """What a family's builder returns: a net with its weights loaded, on the CPU, in fp32."""

    name: str
    """What was built: a name that says no more than is true of the loaded weights."""
    num_frames: int
    """Frames a clip."""
    preprocessing: PreprocessingSpec
    module: nn.Module
    """Everything that was loaded, and nothing else: its state dict is the identity of the weights."""
    tokens: Callable[[Tensor], Tensor]
    """The forward pass: (B, 3, T, S, S) → tokens (B, N, D), both in the compute dtype."""
    pools: Mapping[str, Pool]
    """By name; the first is the default."""
    heads: tuple[str, ...] = ()
    """Children of ``module`` that only pools read; they stay in fp32, as the tokens that they read."""
    tiling: Tiling | None = None
    """Of the attention in ``module``; ``None`` where there is none, or it can't be tiled."""
    stream: Stream | None = None
    """Of nets that go through a video piece by piece."""
    classes: tuple[str, ...] = ()
    """Names of the classes of the pool ``logits``; empty where the checkpoint does not tell them."""
    random_seed: int | None = None
    """The seed of made-up weights."""
    notes: tuple[str, ...] = ()
    """What the user has to know about this checkpoint, a sentence each."""


class Backbone:
    """A frozen backbone that turns clips into features.

    Attributes:
        name: what was loaded, e.g. ``videomae_base``.
        num_frames: frames a clip.
        preprocessing: how a frame becomes its input.
        pools: name → shape of one row's feature.
        grids: pool of tokens → (T', H, W), where that is known; time varies slowest.
        default_pool: the pool that is meant when none is named.
        classes: names of the classes of the pool ``logits``; empty where the checkpoint does not tell them.
        weights: the identity of the weights.
        precision: of weights and activations in the forward pass; pools are computed in fp32.
        device: where it runs.
        attention: how attention is computed: ``tiled``, or as the net's ``library`` does it.
        compiled: whether the forward pass goes through ``torch.compile``.
        notes: what the user has to know about the checkpoint, a sentence each.
        num_parameters: of the net, its classifier among them.
    """

    def __init__(
        self,
        net: Net,
        *,
        weights: WeightsSpec,
        device: torch.device,
        precision: Precision,
        attention: AttentionKind | None = None,
        compile: bool = False,
    ) -> None:
        self.name = net.name
        self.num_frames = net.num_frames
        self.preprocessing = net.preprocessing
        self.pools = {name: pool.shape for name, pool in net.pools.items()}
        self.grids = {name: pool.grid for name, pool in net.pools.items() if pool.grid is not None}
        self.default_pool = next(iter(net.pools))
        self.classes = net.classes
        self.weights = weights
        self.precision = precision
        self.device = device
        self.notes = net.notes
        self._net = _place(net, device, DTYPES[precision])
        self.num_parameters = sum(parameter.numel() for parameter in net.module.parameters())
        if compile and attention is None:
            attention = "library"  # tiles would be unrolled one by one
        self.attention = _choose_attention(self._net, device, DTYPES[precision], attention)
        self.compiled = compile
        if not compile and packing_pays(device, DTYPES[precision]):
            for child in _without_heads(net):
                pack_linears(child)
        self._tokens = CompiledTokens(net.tokens) if compile else net.tokens

    def preprocess(self, frames: Tensor | npt.NDArray[np.uint8]) -> Tensor:
        """Resize, crop the centre, normalise.

        Args:
            frames: uint8, (B, T, H, W, 3), RGB, T = ``num_frames``.

        Returns:
            (B, 3, T, S, S) on the device, in the compute dtype.

        Raises:
            BackboneError: another shape or dtype.
        """
        clips = as_uint8_tensor(frames)
        if clips.ndim != 5:
            raise BackboneError(f"frames have the shape {tuple(clips.shape)}; they must be (B, T, H, W, 3)")
        return self.normalise(torch.cat([resize_and_crop(clip, self.preprocessing) for clip in clips]))

    def normalise(self, batch: Tensor) -> Tensor:
        """Bring resized clips, uint8 (B, T, S, S, 3), to the device as the net's input (B, 3, T, S, S)."""
        return normalise(batch.to(self.device, non_blocking=True), self.preprocessing, DTYPES[self.precision])

    @torch.inference_mode()
    def features(self, x: Tensor, pools: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Features of preprocessed clips, all pools from one forward pass.

        Args:
            x: (B, 3, T, S, S), what :meth:`preprocess` returns.
            pools: names from ``self.pools``; ``None`` is the default pool.

        Returns:
            pool → float32 (B, *shape), on the device.

        Raises:
            BackboneError: no such pool, or x has another shape.
        """
        names = self.check_pools(pools)
        size = self.preprocessing.crop
        if x.ndim != 5 or x.shape[1:] != (3, self.num_frames, size, size):
            wanted = f"(B, 3, {self.num_frames}, {size}, {size})"
            raise BackboneError(f"{self.name} takes {wanted}, not {tuple(x.shape)}: preprocess the frames first")
        x = x.to(self.device, DTYPES[self.precision])
        if not self.clips_alone:
            return self._pooled(x, names)
        pooled = for_each_clip(lambda clip: self._pooled(clip, names), x)
        return {name: torch.cat([features[name] for features in pooled]) for name in names}

    def _pooled(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        tokens = self._tokens(x).float()
        return {name: self._net.pools[name].compute(tokens) for name in names}

    @property
    def clips_alone(self) -> bool:
        """Whether each clip of a batch is computed by itself, see :mod:`.clip_threads`."""
        return self.device.type == "cpu" and not self.compiled

    @property
    def compile_seconds(self) -> float | None:
        """What the first batch took, which compiles; ``None`` before it, and where nothing is compiled."""
        return self._tokens.first_seconds if isinstance(self._tokens, CompiledTokens) else None

    @property
    def streams(self) -> bool:
        """Whether it can go through a video piece by piece, see :meth:`stream`."""
        return self._net.stream is not None

    @torch.inference_mode()
    def stream(self, x: Tensor, state: Any = None, pools: Iterable[str] | None = None) -> tuple[dict[str, Tensor], Any]:
        """Go on with a video: the features after some more of its frames.

        Args:
            x: (B, 3, T, S, S), the next frames, in any number, normalised.
            state: what the call before returned; ``None`` at the beginning of a video.
            pools: names from ``self.pools``; ``None`` is the default pool.

        Returns:
            pool → float32 (B, …) of all frames up to here, and the state after them.

        Raises:
            BackboneError: not a stream net, or no such pool.
        """
        names = self.check_pools(pools)
        if self._net.stream is None:
            raise BackboneError(f"{self.name} does not stream: it takes clips of {self.num_frames} frames")
        return self._net.stream(x.to(self.device, DTYPES[self.precision]), state, names)

    def encode(self, frames: Tensor | npt.NDArray[np.uint8], pools: Iterable[str] | None = None) -> dict[str, Tensor]:
        """:meth:`preprocess` and :meth:`features` in one."""
        return self.features(self.preprocess(frames), pools)

    def check_pools(self, pools: Iterable[str] | None) -> list[str]:
        """The names without repeats, in their order; the default pool for ``None``.

        Raises:
            BackboneError: a pool that this backbone, with these weights, does not have.
        """
        names = [self.default_pool] if pools is None else list(dict.fromkeys(pools))
        for name in names:
            if name not in self.pools:
                raise BackboneError(f"{self.name} has no pool {name!r}; it has {', '.join(self.pools)}")
        return names

    def __repr__(self) -> str:
        pools = ", ".join(f"{name} {shape}" for name, shape in self.pools.items())
        return f"Backbone({self.name}, {self.num_frames} frames, {self.precision} on {self.device}; pools: {pools})"


def _place(net: Net, device: torch.device, dtype: torch.dtype) -> Net:
    net.module.requires_grad_(False).eval().to(device)
    for child in _without_heads(net):
        child.to(dtype)
    return net


def _without_heads(net: Net) -> list[nn.Module]:
    """The children of a net that its forward pass is made of."""
    return [child for name, child in net.module.named_children() if name not in net.heads]


def _choose_attention(
    net: Net, device: torch.device, dtype: torch.dtype, wanted: AttentionKind | None
) -> AttentionKind:
    """Make the attention tiled where it pays, or where that is asked for; see :mod:`.attention`."""
    if wanted == "tiled" and net.tiling is None:
        raise BackboneError(f"{net.name} has no attention that can be tiled")
    if net.tiling is None or wanted == "library" or not (wanted or net.tiling.pays(device, dtype)):
        return "library"
    net.tiling.switch()
    return "tiled"
