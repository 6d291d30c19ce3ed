"""How far features are from the plain ones: in another precision or batch, compiled, from another decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from fouls.errors import BackboneError, ConfigError, VideoError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.parity import Deviation, Load, Setting, deviations_from, features_in, features_of
from fouls.pipeline.executors.recipe import BackboneRecipe
from fouls.pipeline.sampling import views
from fouls.video.decoders import DECODERS, open_video

NUM_CLIPS = 4
"""Clips that are compared; of one video, so that their frames are of one size."""
MAX_STRIDE = 4

Frames = npt.NDArray[np.uint8]
"""(B, T, H, W, 3)."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """One way to get the features of some clips, compared with another."""

    what: str
    """In what they differ: ``precision``, ``batch size``, ``compile``, ``decoder``; ``extract``: in all that an
    extraction does another way."""
    here: str
    there: str
    deviations: dict[str, Deviation]
    """By pool."""


def compare(
    recipe: BackboneRecipe,
    path: str,
    *,
    batch_size: int,
    pools: Sequence[str] | None,
    decode_resize: int | None = None,
    on_setting: Callable[[str], None] = lambda setting: None,
) -> Iterator[Parity]:
    """Change one thing after the other, from fp32, a clip at a time, as the library that the net is from computes it.

    Args:
        recipe: the backbone, in the precision of the extraction; and compiled, if that is to be compared.
        path: a video.
        batch_size: of the extraction.
        pools: of the features; ``None``: the default pool.
        decode_resize: pixels to which the pictures' short side is scaled as they are decoded; ``None``: not at all.
        on_setting: called with what is being computed now.

    Raises:
        VideoError: no decoder can read the video.
        BackboneError: a stream net, or no such pool.
    """
    load: Load = partial(_load, recipe)
    on_setting("plain features")
    plain = load(Setting())
    if plain.streams:
        raise BackboneError(f"{plain.name} goes through a video frame by frame: --parity compares nets that take clips")
    frames = _read_with_each(path, plain.num_frames, decode_resize)
    (first, wanted), *others = [(name, features_of(plain, clips, 1, pools)) for name, clips in frames.items()]
    del plain
    for decoder, found in others:
        yield Parity(what="decoder", here=decoder, there=first, deviations=deviations_from(wanted, found))
    for what, here, there, setting in _settings(recipe, min(batch_size, NUM_CLIPS)):
        on_setting(f"{what}: {here}")
        found = features_in(load, frames[first], setting, pools)
        yield Parity(what=what, here=here, there=there, deviations=deviations_from(wanted, found))


def _settings(recipe: BackboneRecipe, batch_size: int) -> list[tuple[str, str, str, Setting]]:
    """What is changed, to what, from what, and the setting; what is the same here and there is left out."""
    plain = Setting()
    own = Setting(precision=recipe.precision, batch_size=batch_size, attention=None, compile=recipe.compile)
    ways = [
        ("precision", recipe.precision, "fp32", replace(plain, precision=recipe.precision)),
        ("batch size", str(batch_size), "1", replace(plain, batch_size=batch_size)),
        ("compile", "yes" if recipe.compile else "no", "no", replace(plain, compile=recipe.compile)),
        ("extract", "as it does it", "plain", own),
    ]
    return [way for way in ways if way[1] != way[2]]


def read_clips(path: str, decoder: str, num_frames: int, decode_resize: int | None = None) -> Frames:
    """Clips from all over a video, (:data:`NUM_CLIPS`, T, H, W, 3).

    Raises:
        VideoError: the decoder can't read it.
        ConfigError: the decoder is not installed, or does not scale as the others do.
    """
    with open_video(path, decoder, decode_resize) as reader:
        stride = max(1, min(MAX_STRIDE, reader.info.num_frames // num_frames))
        clips = views(reader.info.num_frames, num_frames, stride, NUM_CLIPS)  # (B, T)
        numbers, place = np.unique(clips, return_inverse=True)
        frames: Frames = np.stack(list(reader.read(numbers)))
    return frames[place.reshape(clips.shape)]


def _read_with_each(path: str, num_frames: int, decode_resize: int | None) -> dict[str, Frames]:
    """The clips by each decoder that is installed and can read the video, and scale it if that is asked for."""
    found: dict[str, Frames] = {}
    refusal: VideoError | None = None
    for decoder in DECODERS:
        try:
            found[decoder] = read_clips(path, decoder, num_frames, decode_resize)
        except ConfigError:
            continue
        except VideoError as error:
            refusal = error
    if not found:
        assert refusal is not None  # PyAV is always installed
        raise refusal
    return found


def _load(recipe: BackboneRecipe, setting: Setting) -> Backbone:
    return load_backbone(
        recipe.name,
        weights=recipe.weights,
        device=recipe.device,
        precision=setting.precision,
        pretrained_source=recipe.pretrained_source,
        num_frames=recipe.num_frames,
        attention=setting.attention,
        compile=setting.compile,
    )
