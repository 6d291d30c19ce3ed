"""What a user can say of an extraction, and how it is resolved into a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fouls.cache.quarantine import Retry
from fouls.cache.spec import Precision, SamplingKind, SamplingSpec, Spec, StoredDtype
from fouls.errors import BackboneError, ConfigError, StoreError, first_line
from fouls.objects.location import Location, location
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.weights import PretrainedSource
from fouls.pipeline.cluster_options import ClusterOptions
from fouls.video.downloads import Downloads

STREAM_HOP = 8
"""Frames of a stream from one row to the next by default."""
CLIP_SPAN = 64
"""Native frames that a clip spans by default where it has a stride: 16 frames × 4, 32 frames × 2."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Which frames; ``None`` is the kind's default."""

    kind: SamplingKind | None = None
    frame_stride: int | None = None
    hop: int | None = None
    num_clips: int | None = None
    num_crops: int | None = None
    window: tuple[int, int] | None = None
    window_fps: float | None = None

    def resolve(self, backbone: Backbone) -> SamplingSpec:
        """Fill in the defaults for a backbone.

        Raises:
            ConfigError: an option that the kind does not read, or a value out of range.
        """
        kind = self.kind or ("stream" if backbone.streams else "uniform")
        if kind != "views" and (self.num_clips or self.num_crops):
            raise ConfigError(f"sampling {kind!r} does not read clips and crops: they belong to 'views'")
        if kind == "stream":
            return self._resolve_stream(backbone)
        num_frames, stride, hop = backbone.num_frames, self.frame_stride, self.hop
        if kind in ("center", "dense", "views"):
            stride = stride or max(1, CLIP_SPAN // num_frames)
        if kind == "dense":
            hop = hop or num_frames * (stride or 1)
        views = kind == "views"
        start, stop = self.window or (None, None)
        return SamplingSpec(
            kind=kind,
            num_frames=num_frames,
            frame_stride=stride,
            hop=hop,
            num_clips=(self.num_clips or 5) if views else 1,
            num_crops=(self.num_crops or 3) if views else 1,
            window_start=start,
            window_stop=stop,
            window_fps=self.window_fps,
        )

    def _resolve_stream(self, backbone: Backbone) -> SamplingSpec:
        if not backbone.streams:
            raise BackboneError(f"{backbone.name} does not stream: sampling 'stream' is for the nets named …_stream")
        stride = self.frame_stride or 1
        hop = self.hop or STREAM_HOP * stride
        if hop % stride:
            raise ConfigError(f"--hop is {hop}; it must be a multiple of --frame-stride, {stride}")
        if self.window or self.window_fps:
            raise ConfigError("sampling 'stream' does not read window and fps: they belong to 'window'")
        return SamplingSpec(kind="stream", num_frames=hop // stride, frame_stride=stride, hop=hop)


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Where the blocks run."""

    gpus: int | None = None
    """``None``: all that are there."""
    workers: int | None = None
    """Processes on CPUs."""
    scheduler: str | None = None
    """Address of a Dask scheduler that stands."""
    device: str | None = None
    """Of the backbone in this process, or of those on the scheduler's workers: ``cpu``, ``cuda``, ``cuda:1``."""
    cluster: ClusterOptions | None = None
    """How the scheduler's cluster is joined."""

    def __post_init__(self) -> None:
        if self.cluster is not None:
            self.cluster.check(self.scheduler)
        given = [name for name in ("gpus", "workers", "scheduler", "device") if getattr(self, name) is not None]
        if len(given) > 1 and given != ["scheduler", "device"]:
            raise ConfigError(f"--{' and --'.join(given)} exclude each other: give one")
        for name in ("gpus", "workers"):
            value = getattr(self, name)
            if value is not None and value < (name == "workers"):
                raise ConfigError(f"--{name} is {value}; it must be {int(name == 'workers')} or more")


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """One extraction, as it was asked for; ``None`` is a default that depends on backbone or machine."""

    backbone: str
    weights: str | None = None
    pretrained_source: PretrainedSource = "auto"
    fallback: tuple[str, ...] = ()
    """Backbones to try in turn, with their own default weights, when the weights can't be had."""
    num_frames: int | None = None
    pools: tuple[str, ...] = ()
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    augment: AugmentOptions | None = None
    """``None``: the plain pass alone."""
    precision: Precision | None = None
    stored_dtype: StoredDtype = "float16"
    decode_resize: int | None = None
    """Pixels to which the short side of larger pictures is scaled as they are decoded; ``None``: not at all."""
    manifest: Location = Path("manifests")
    out: Location | None = None
    """The store; ``cache/<backbone>`` by default."""
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    batch_size: int | None = None
    compile: bool = False
    """Send the forward pass through ``torch.compile``."""
    decoder: str = "auto"
    decode_workers: int | None = None
    decode_timeout_seconds: float = 120.0
    block_rows: int | None = None
    limit: int | None = None
    """Only the manifest's first videos."""
    retry_failed: bool = False
    retry_only: tuple[str, ...] = ()
    """Classes of error that are retried; empty: all."""
    include_quarantined: bool = False
    """Retry also what has killed or hung the decoder too often."""
    downloads: Downloads = field(default_factory=Downloads)
    """Which videos at URLs are asked for, and where they are kept."""

    def __post_init__(self) -> None:
        names = ("decode_resize", "batch_size", "decode_workers", "decode_timeout_seconds", "block_rows", "limit")
        for name in names:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"--{name.replace('_', '-').removesuffix('-seconds')} is {value}; it must be above 0")
        if not all(self.fallback):
            raise ConfigError(f"--fallback is {','.join(self.fallback)!r}; it must be names with commas between them")
        if (self.retry_only or self.include_quarantined) and self.retry is None:
            option = "--only" if self.retry_only else "--include-quarantined"
            raise ConfigError(f"{option} says which failed rows are tried again: add --retry-failed")

    @property
    def store(self) -> Location:
        """The store's folder or URL."""
        return self.out or Path("cache") / self.backbone.replace("/", "--").replace(":", "-")

    @property
    def retry(self) -> Retry | None:
        """Which failed rows are tried again; ``None``: none."""
        if not self.retry_failed:
            return None
        return Retry(only=self.retry_only, include_quarantined=self.include_quarantined)

    def to_dict(self) -> dict[str, Any]:
        """What stands beside the spec in the store, so that the extraction can be asked for again: JSON types."""
        remembered = {name: value for name, value in asdict(self).items() if name in _REMEMBERED}
        return remembered | {"manifest": str(self.manifest)}

    @classmethod
    def from_dict(
        cls,
        plain: Mapping[str, Any],
        *,
        store: Location,
        retry_failed: bool,
        retry_only: tuple[str, ...] = (),
        include_quarantined: bool = False,
        downloads: Downloads | None = None,
    ) -> Self:
        """The extraction that filled a store, from what :meth:`to_dict` left in it.

        Raises:
            StoreError: something else stands there.
        """
        try:
            remembered = {name: value for name, value in plain.items() if name in _REMEMBERED}
            sampling = dict(remembered["sampling"])
            sampling["window"] = tuple(sampling["window"]) if sampling["window"] else None
            augment = remembered.get("augment")
            return cls(
                **{
                    **remembered,
                    "pools": tuple(remembered["pools"]),
                    "sampling": SamplingOptions(**sampling),
                    "augment": AugmentOptions.from_dict(augment) if augment else None,
                    "manifest": location(remembered["manifest"]),
                },
                out=store,
                retry_failed=retry_failed,
                retry_only=retry_only,
                include_quarantined=include_quarantined,
                downloads=downloads or Downloads(),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{store} does not say how it was extracted ({first_line(error)}): give the options again, with "
                "`fouls extract`"
            ) from error


_REMEMBERED = {
    "backbone",
    "weights",
    "pretrained_source",
    "num_frames",
    "pools",
    "sampling",
    "augment",
    "precision",
    "stored_dtype",
    "decode_resize",
    "manifest",
}
"""What decides the spec, and where the videos are listed; not how fast it goes."""


def resolve_spec(options: ExtractOptions, backbone: Backbone) -> Spec:
    """The spec of an extraction with a loaded backbone.

    Raises:
        BackboneError: a pool that the backbone does not have.
        ConfigError: a sampling that makes no sense.
    """
    pools = tuple(sorted(set(options.pools or (backbone.default_pool,))))
    for pool in pools:
        if pool not in backbone.pools:
            raise BackboneError(f"{backbone.name} has no pool {pool!r}; it has {', '.join(backbone.pools)}")
    sampling = options.sampling.resolve(backbone)
    if sampling.kind == "stream" and "temporal" in pools:
        raise ConfigError("sampling 'stream' has no pool 'temporal': every row is a step in time; use the others")
    if sampling.kind == "stream" and options.compile:
        raise ConfigError("sampling 'stream' goes on where the last frames ended, which is not compiled: no --compile")
    return Spec(
        backbone=backbone.name,
        weights=backbone.weights,
        sampling=sampling,
        preprocessing=backbone.preprocessing,
        pools=pools,
        precision=backbone.precision,
        stored_dtype=options.stored_dtype,
        decode_resize=options.decode_resize,
        augmentation=options.augment.resolve(sampling.kind) if options.augment else None,
    )
