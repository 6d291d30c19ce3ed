"""Videos and manifests on https: quoted names, queries with signatures, servers that give no ETag."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fouls.errors import ConfigError, VideoError
from fouls.manifests.table import read_manifest
from fouls.objects import client
from fouls.objects.location import location
from fouls.video.downloads import Downloads
from tests.pipeline.conftest import Project


class _Silent(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def certify(folder: Path) -> tuple[Path, Path]:
    """An authority's certificate, and a file with the key and certificate of ``localhost`` that it has signed."""
    now, names, keys = datetime.now(UTC), {}, {}
    for name in ("authority", "localhost"):
        keys[name] = ec.generate_private_key(ec.SECP256R1())
        names[name] = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    pem = {}
    for name in ("authority", "localhost"):
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = (
            x509.CertificateBuilder(
                names["authority"], names[name], keys[name].public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            .sign(keys["authority"], hashes.SHA256())
        )
        pem[name] = certificate.public_bytes(serialization.Encoding.PEM)
    pem["localhost"] += keys["localhost"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, data in pem.items():
        (folder / f"{name}.pem").write_bytes(data)
    return folder / "authority.pem", folder / "localhost.pem"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server on the loopback that serves ``tmp_path / "site"``."""
    (tmp_path / "site").mkdir()
    authority, own = certify(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=tmp_path / "site"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    client.connect.cache_clear()
    yield f"https://localhost:{server.server_address[1]}"
    client.connect.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["a%20b.mp4", "a%20b.mp4?signature=a%2Fb&expires=1"])
def test_a_video(site: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "site" / "a b.mp4").write_bytes(b"frames")
    downloads = Downloads(allowed=(site,), folder=tmp_path / "downloaded")
    facts = downloads.facts(f"{site}/{name}")
    assert facts.size_bytes == 6
    with downloads.fetched(f"{site}/{name}", facts) as path:
        assert path.read_bytes() == b"frames"
    with pytest.raises(VideoError, match=r"no such object: .*/none\.mp4$") as caught:
        downloads.facts(f"{site}/none.mp4?signature=secret")
    assert caught.value.code == "unreadable"


def test_a_manifest(site: str, tmp_path: Path, project: Project) -> None:
    here = project.path / "manifests" / "videos.parquet"
    (tmp_path / "site" / "videos.parquet").write_bytes(here.read_bytes())
    assert read_manifest(f"{site}/videos.parquet").equals(read_manifest(here))
    with pytest.raises(ConfigError, match="https can't be listed"):
        list(location(f"{site}/folder").iterdir())
