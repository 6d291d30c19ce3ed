"""Before anything is written: read the manifest, load the backbones, resolve the specs, refuse what can't work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.spec import Spec
from fouls.cache.store import Store, open_store
from fouls.errors import ConfigError, SpecMismatchError
from fouls.manifests.table import read_manifest
from fouls.objects.location import Location
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.devices import Placement, default_batch_size, default_decode_workers, place
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.executors.recipe import BackboneRecipe
from fouls.pipeline.fallback import FailedAttempt, choose_backbone, warn
from fouls.pipeline.options import ExtractOptions, resolve_spec
from fouls.video.cuda_reader import check_cuda
from fouls.video.decoders import candidates, decoder_beside
from fouls.video.downloads import Downloads
from fouls.video.frame_index import is_url

SHARED_OPTIONS = (
    *("manifest", "limit", "executor", "decoder", "decode_workers", "decode_timeout_seconds", "retry", "downloads"),
    "decode_resize",
)
"""What extractions that share one decoding can't differ in."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An extraction whose backbone is loaded and whose manifest is read; nothing is written yet."""

    options: ExtractOptions
    """As they were given; after a fallback with the backbone that is used."""
    placement: Placement
    recipe: BackboneRecipe
    backbone: Backbone
    spec: Spec
    manifest: pa.Table
    """The videos that this extraction is about."""
    manifest_videos: int
    """Videos of the whole manifest, whatever the limit."""

    @property
    def pool_shapes(self) -> dict[str, tuple[int, ...]]:
        """Pool → shape of a row."""
        return {pool: self.backbone.pools[pool] for pool in self.spec.pools}

    def batch_size(self, block_rows: int) -> int:
        """Clips in one forward pass, for blocks of that many rows."""
        default = default_batch_size(self.placement.device, self.placement.engines)
        return min(self.options.batch_size or default, block_rows)

    @property
    def engine_options(self) -> EngineOptions:
        """How the engines work."""
        device = self.placement.device
        return EngineOptions(
            decoder=decoder_beside(self.options.decoder, device),
            decode_workers=self.options.decode_workers or default_decode_workers(device, self.placement.engines),
            decode_timeout_seconds=self.options.decode_timeout_seconds,
        )


def prepare(options: ExtractOptions, *, on_fallback: Callable[[FailedAttempt], None] = warn) -> Prepared:
    """Read the manifest, choose devices, load the backbone, resolve the spec; refuse what can't work.

    Args:
        options: what is asked for.
        on_fallback: called for each backbone whose weights can't be had, before the next is tried.

    Raises:
        FoulsError: anything that the user can mend, see ``fouls/errors.py``.
    """
    return prepare_all([options], on_fallback=on_fallback)[0]


def prepare_all(
    options: Sequence[ExtractOptions], *, on_fallback: Callable[[FailedAttempt], None] = warn
) -> list[Prepared]:
    """:func:`prepare` for backbones that are to share one decoding of the videos.

    Args:
        options: one for each store.
        on_fallback: see :func:`prepare`.

    Raises:
        ConfigError: they differ in one of :data:`SHARED_OPTIONS`, two have the same store, one is a stream net, or the
            decoder can't be used.
        FoulsError: as :func:`prepare`.
    """
    first = options[0]
    _check_alike(options)
    _check_apart(options)
    candidates(first.decoder, first.decode_resize)
    whole = read_manifest(first.manifest)
    _check_urls(whole, first.downloads)
    placement = place(first.executor)
    if placement.scheduler is None and first.decoder.startswith("cuda"):  # workers elsewhere find out by themselves
        check_cuda(decoder_beside(first.decoder, placement.device))
    prepared = [_prepare(each, placement, whole, on_fallback) for each in options]
    if len(prepared) > 1:
        _check_apart([each.options for each in prepared])  # after the fallbacks
        _check_no_streams(prepared)
    return prepared


def _prepare(
    options: ExtractOptions, placement: Placement, whole: pa.Table, on_fallback: Callable[[FailedAttempt], None]
) -> Prepared:
    chosen = choose_backbone(options, placement, on_fallback)
    options = chosen.options
    spec = resolve_spec(options, chosen.backbone)
    if (options.store / "zarr.json").exists():
        check_same_spec(open_store(options.store), spec)
    return Prepared(
        options=options,
        placement=placement,
        recipe=chosen.recipe,
        backbone=chosen.backbone,
        spec=spec,
        manifest=whole if options.limit is None else whole.slice(0, options.limit),
        manifest_videos=whole.num_rows,
    )


def _check_urls(manifest: pa.Table, downloads: Downloads) -> None:
    """Refuse videos at URLs that nobody has allowed: the manifest may be anybody's."""
    paths = manifest["path"]
    for url in paths.filter(pc.match_substring(paths, "://")).to_pylist():
        if is_url(url) and not downloads.allows(url):
            where = "/".join(url.split("/")[:3])
            raise ConfigError(
                f"the manifest has videos at {where} ({url}), and URLs are only asked for where they are allowed: add "
                f"--allow-urls {where}"
            )


def _check_alike(options: Sequence[ExtractOptions]) -> None:
    first = options[0]
    for other in options[1:]:
        for name in SHARED_OPTIONS:
            here, there = getattr(first, name), getattr(other, name)
            if here != there:
                raise ConfigError(
                    f"{name} is {here!r} for {first.backbone} and {there!r} for {other.backbone}: extractions that "
                    "share the decoding can't differ in it"
                )


def _check_apart(options: Sequence[ExtractOptions]) -> None:
    users: dict[Location, ExtractOptions] = {}
    for each in options:
        other = users.setdefault(each.store.absolute(), each)
        if other is not each:
            raise ConfigError(
                f"{each.store} can't hold both {other.backbone} and {each.backbone}: give each a store with --out"
            )


def _check_no_streams(prepared: Sequence[Prepared]) -> None:
    for each in prepared:
        if each.spec.sampling.kind == "stream":
            raise ConfigError(
                f"{each.options.backbone} goes through all frames in their order and can't share the decoding: extract "
                "stream nets one by one"
            )


def check_same_spec(store: Store, spec: Spec) -> None:
    """Refuse to add to a store that was made with another spec.

    Raises:
        SpecMismatchError: with the differing fields, and what would work.
    """
    if store.fingerprint == spec.fingerprint:
        return
    differing = "; ".join(
        f"{name} is {there!r} there, {here!r} here" for name, (there, here) in store.spec.differences(spec).items()
    )
    free = store.path.with_name(f"{store.path.name}-{spec.fingerprint[:6]}")
    raise SpecMismatchError(
        f"{store.path} holds features of another spec ({differing}): add --out {free} to keep both, "
        f"or {_what_would_fit(store, spec)}"
    )


def _what_would_fit(store: Store, spec: Spec) -> str:
    there, here = store.spec.augmentation, spec.augmentation
    if replace(store.spec, augmentation=here) != spec or (there is None) == (here is None):
        return "give the options that the store was made with"
    return "leave --augment out" if there is None else "give the --augment options that the store was made with"
