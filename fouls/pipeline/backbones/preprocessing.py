"""From decoded frames to a backbone's input: resize and crop on the CPU, normalise on the device.

Between the two lies uint8: that is what travels from the decoding processes to the backbone, a quarter of the
bytes of float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError


def resize_and_crop(
    frames: Tensor | npt.NDArray[np.uint8], spec: PreprocessingSpec, crops: Sequence[int] = (0,), num_crops: int = 1
) -> Tensor:
    """Resize the frames of one clip and cut square crops out of them.

    With antialias this equals the image processors of transformers (torchvision's v2 resize of uint8 images), without
    it the video presets of torchvision, bit for bit. A frame is always resized so that the crop fits: small frames
    are enlarged.

    Args:
        frames: uint8, (T, H, W, 3), RGB.
        spec: the backbone's preprocessing.
        crops: which of the crops, each 0 ≤ crop < num_crops.
        num_crops: 1 is the centre; 3 are left, centre, right of a wide frame, or top, centre, bottom of a tall one.

    Returns:
        uint8, (len(crops), T, S, S, 3).

    Raises:
        BackboneError: the frames are no uint8 (T, H, W, 3), or there is no such crop.
    """
    video = as_uint8_tensor(frames)
    if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
        raise BackboneError(f"frames have the shape {tuple(video.shape)}; they must be (T, H, W, 3), none of them 0")
    if num_crops not in (1, 3) or not all(0 <= crop < num_crops for crop in crops):
        raise BackboneError(f"crops {list(crops)} of {num_crops}; there are 1 (crop 0) or 3 (crops 0, 1, 2)")
    height, width = resized_size(video.shape[1], video.shape[2], spec)
    corners = [crop_corner(height, width, crop, num_crops, spec) for crop in crops]
    out = torch.empty((len(crops), len(video), spec.crop, spec.crop, 3), dtype=torch.uint8)
    for index, frame in enumerate(video):  # one at a time: the float path would need 4 bytes for each of the clip
        resized = _resize(frame, height, width, spec)
        for position, (top, left) in enumerate(corners):
            out[position, index] = resized[top : top + spec.crop, left : left + spec.crop]
    return out


def resize_box(
    frame: Tensor | npt.NDArray[np.uint8], spec: PreprocessingSpec, *, box: tuple[int, int, int, int], mirrored: bool
) -> Tensor:
    """Cut a box out of a frame and resize it to the backbone's square: the crop of an augmented pass.

    Args:
        frame: uint8, (H, W, 3), RGB.
        spec: of the backbone; its interpolation, antialias and crop are used.
        box: top, left, height, width, in the frame.
        mirrored: whether left and right are exchanged, after the resize.

    Returns:
        uint8, (S, S, 3).
    """
    top, left, height, width = box
    part = as_uint8_tensor(frame)[top : top + height, left : left + width].contiguous()
    resized = _resize(part, spec.crop, spec.crop, spec)
    return resized.flip(1) if mirrored else resized


def normalise(batch: Tensor, spec: PreprocessingSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scale to the backbone's range: ``(batch · scale − mean) / std``, in fp32 whatever ``dtype`` is.

    Written as ``(batch − mean / scale) / (std / scale)``, as transformers does it; torchvision's presets scale first,
    which rounds differently in the last bit of fp32.

    Args:
        batch: uint8, (B, T, S, S, 3), on the device where the result is wanted.
        spec: the backbone's preprocessing.
        dtype: of the result.

    Returns:
        (B, 3, T, S, S), contiguous.
    """
    mean, std = _levels(spec, batch.device)
    values = batch.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    return values.sub_(mean).div_(std).to(dtype)


@lru_cache(maxsize=64)
def _levels(spec: PreprocessingSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and std in uint8's levels, (1, 3, 1, 1, 1). Kept: to copy them to a GPU is to wait for what it computes."""
    mean, std = (torch.tensor(of) * (1 / spec.scale) for of in (spec.mean, spec.std))
    shape = (1, 3, 1, 1, 1)
    return mean.view(shape).to(device), std.view(shape).to(device)


def resized_size(height: int, width: int, spec: PreprocessingSpec) -> tuple[int, int]:
    """Height and width after the resize; the long side is rounded down, as in torchvision and transformers."""
    if spec.resize == "stretch":
        return spec.resize_to, spec.resize_width or spec.resize_to
    if width <= height:
        return int(spec.resize_to * height / width), spec.resize_to
    return spec.resize_to, int(spec.resize_to * width / height)


def crop_corner(height: int, width: int, crop: int, num_crops: int, spec: PreprocessingSpec) -> tuple[int, int]:
    """Top and left of a crop in the resized frame.

    An odd pixel that is left over around the centre: transformers rounds its half down, torchvision's transforms to
    the even number.
    """
    top, left = height - spec.crop, width - spec.crop
    down = spec.antialias if spec.crop_rounding is None else spec.crop_rounding == "down"
    centre_top, centre_left = (slack // 2 if down else round(slack / 2) for slack in (top, left))
    if num_crops == 1 or crop == 1:
        return centre_top, centre_left
    if height > width:
        return (0 if crop == 0 else top), centre_left
    return centre_top, (0 if crop == 0 else left)


def as_uint8_tensor(frames: Tensor | npt.NDArray[np.uint8]) -> Tensor:
    """Frames as a uint8 tensor on the CPU, without a copy where that is possible.

    Raises:
        BackboneError: another dtype.
    """
    if isinstance(frames, np.ndarray):
        if frames.dtype != np.uint8:
            raise BackboneError(f"frames are {frames.dtype}; they must be uint8")
        return torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    if frames.dtype != torch.uint8:
        raise BackboneError(f"frames are {frames.dtype}; they must be torch.uint8")
    return frames.cpu()


def _resize(frame: Tensor, height: int, width: int, spec: PreprocessingSpec) -> Tensor:
    """(H, W, 3) → (height, width, 3), uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    image = frame.permute(2, 0, 1)[None]  # (1, 3, H, W), channels last in memory: the fastest for three channels
    if spec.antialias:
        resized = F.interpolate(image, (height, width), mode=spec.interpolation, align_corners=False, antialias=True)
    else:  # the presets go through float; the kernel for uint8 rounds its weights and differs by one level
        values = F.interpolate(image.float(), (height, width), mode=spec.interpolation, align_corners=False)
        resized = values.clamp_(0, 255).round_().to(torch.uint8)
    return resized[0].permute(1, 2, 0)
