"""A video from a stranger makes nobody ask a server."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fouls.errors import VideoError
from fouls.video.decoders import open_video
from fouls.video.frame_index import url_of
from fouls.video.probe import probe_files


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback, and what it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


LURES = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL/seg.ts\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL/seg.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile 'URL/part.ts'\n",
    "dash.mpd": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>URL/d.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
}


def test_a_file_that_names_a_server_does_not_make_a_decoder_ask_it(
    tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    for name, text in LURES.items():
        (tmp_path / name).write_text(text.replace("URL", url))
    probes = probe_files([str(tmp_path / name) for name in LURES], workers=1, timeout_seconds=20.0)
    assert all(probe.error is not None for probe in probes)
    for decoder in ("auto", "pyav", "decord"):
        for name in LURES:
            with pytest.raises(VideoError):
                open_video(str(tmp_path / name), decoder)
    assert paths == []


def test_the_server_would_have_heard(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    with pytest.raises(VideoError):
        open_video(f"{url}/v.mp4", "pyav")
    assert "/v.mp4" in paths


@pytest.mark.parametrize("scheme", ["tcp", "udp", "ftp", "gopher", "rtmp", "unix", "file", "data", "crypto+http"])
def test_schemes_that_nobody_asks_for_are_refused(scheme: str) -> None:
    with pytest.raises(VideoError, match="is not read; allowed are files and http, https"):
        url_of(f"{scheme}://127.0.0.1:1/x")


@pytest.mark.parametrize(
    "path", ["concat:/etc/passwd|http://x/y", "subfile,,start,0,end,9,,:/etc/passwd", "pipe:0", "a:b"]
)
def test_a_colon_in_a_path_is_no_protocol(path: str) -> None:
    assert url_of(path) == f"file:{path}"
