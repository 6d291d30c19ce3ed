"""From a decoded picture of PyAV to upright RGB, scaled on the way where that is asked for."""

from __future__ import annotations

import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from fouls.video.scaling import scaled_size
from fouls.video.types import Frame

SCALE_FLAGS = "bilinear"
CHROMA_ROW = 256
"""Where a chroma sample lies between its two rows of luma (4:2:0, 4:4:0), in 1/256 of a row: on the second.

Standards say half-way. This is where the FFmpeg in decord's wheels puts it, and ``bilinear`` is how it goes on from
there: with both, the pictures are decord's bit by bit. Where each row of luma has chroma of its own (4:2:2, 4:4:4) the
same number would shift the colours against the picture. Where it scales, decord's FFmpeg has the samples half-way too.
"""


class ToRgb:
    """Converts pictures; all come out in the size of the first, whatever size or format follows in the stream.

    Args:
        short_side: to which larger pictures are scaled, by swscale's ``bilinear``: going down, each pixel is a weighted
            mean of all that it covers. ``None``: they keep their size.
    """

    def __init__(self, short_side: int | None = None) -> None:
        self._short_side = short_side
        self._size: tuple[int, int] | None = None
        self._input: tuple[int, int, str] | None = None
        self._graph: Graph | None = None
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def __call__(self, picture: VideoFrame) -> Frame:
        """The picture, turned as its header says, (H, W, 3)."""
        source, sink = self._filters(picture)
        source.push(picture)
        converted = sink.pull()
        if not isinstance(converted, VideoFrame):
            raise TypeError(f"a filter for pictures gave {converted!r}")
        frame = converted.to_ndarray().astype(np.uint8, copy=False)
        quarter_turns, rest = divmod(picture.rotation, 90)
        return frame if rest or quarter_turns % 4 == 0 else np.ascontiguousarray(np.rot90(frame, quarter_turns))

    def _filters(self, picture: VideoFrame) -> tuple[FilterContext, FilterContext]:
        needed = (picture.width, picture.height, picture.format.name)
        if self._source is None or self._sink is None or needed != self._input:
            self._size = self._size or scaled_size(picture.width, picture.height, self._short_side)
            self._input = needed
            self._graph, self._source, self._sink = self._make_graph(picture, *self._size)
        return self._source, self._sink

    def _make_graph(self, picture: VideoFrame, width: int, height: int) -> tuple[Graph, FilterContext, FilterContext]:
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        has_half_chroma = picture.format.chroma_height(4) == 2
        is_scaled = self._short_side is not None and height != picture.height
        position = f":in_v_chr_pos={CHROMA_ROW}" if has_half_chroma and not is_scaled else ""
        scale = graph.add("scale", f"w={width}:h={height}:flags={SCALE_FLAGS}{position}")
        rgb = graph.add("format", "pix_fmts=rgb24")
        sink = graph.add("buffersink")
        graph.link_nodes(source, scale, rgb, sink).configure()
        return graph, source, sink
