"""From full-size frames to the backbone's uint8 pictures, frame by frame as they come from the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fouls.cache.spec import Spec
from fouls.pipeline.augmentation import ClipKey, random_view
from fouls.pipeline.backbones.preprocessing import resize_and_crop, resize_box
from fouls.pipeline.jobs import ClipJob, Cut
from fouls.video.types import Frame


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What one crop, or one augmented clip, shows of the frames that it needs."""

    frames: npt.NDArray[np.int64]
    """(F,) native indices, ascending, none twice."""
    values: npt.NDArray[np.uint8]
    """(F, S, S, 3)."""

    def of(self, indices: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """The pictures of some frames, (T, S, S, 3)."""
        picked: npt.NDArray[np.uint8] = self.values[np.searchsorted(self.frames, indices)]
        return picked


class Cutter:
    """Fills the pictures of some clips of one video; it holds no frame longer than it takes to cut it.

    Attributes:
        frames: native indices that are needed, (F,), ascending, none twice.
        pictures: cut → its pictures. Those of a crop have the frames of all plain clips, those of an augmented clip
            its own.
    """

    def __init__(self, clips: Sequence[ClipJob], spec: Spec) -> None:
        self._spec = spec
        self.frames = _frames_of(clips)
        plain = _frames_of([clip for clip in clips if clip.key is None])
        self.pictures: dict[Cut, Pictures] = {}
        self._places: dict[int, dict[Cut, int]] = {}
        size = spec.preprocessing.crop
        for clip in clips:
            if clip.cut in self.pictures:
                continue
            frames = plain if clip.key is None else _frames_of([clip])
            values = np.empty((len(frames), size, size, 3), dtype=np.uint8)
            self.pictures[clip.cut] = Pictures(frames=frames, values=values)
            for place, number in enumerate(frames.tolist()):
                self._places.setdefault(number, {})[clip.cut] = place

    def cut(self, number: int, frame: Frame) -> None:
        """Fill in what a frame shows, wherever it is needed."""
        spec, places = self._spec, self._places.get(number, {})
        crops = [cut for cut in places if isinstance(cut, int)]
        if crops:
            cropped = resize_and_crop(frame[None], spec.preprocessing, crops, spec.sampling.num_crops)
            for crop, picture in zip(crops, cropped.numpy(), strict=True):  # (1, S, S, 3)
                self.pictures[crop].values[places[crop]] = picture[0]
        for cut, place in places.items():
            if isinstance(cut, ClipKey):
                assert spec.augmentation is not None
                box, mirrored = random_view(frame.shape[0], frame.shape[1], spec.augmentation, cut)
                picture = resize_box(frame, spec.preprocessing, box=box, mirrored=mirrored)
                self.pictures[cut].values[place] = picture.numpy()


def _frames_of(clips: Sequence[ClipJob]) -> npt.NDArray[np.int64]:
    """The native indices that some clips need, (F,), ascending, none twice."""
    if not clips:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.concatenate([clip.indices for clip in clips])).astype(np.int64)
