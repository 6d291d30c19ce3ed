"""A Dask cluster as somebody else starts one: processes of their own on loopback, with TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fouls.pipeline.cluster_options import ClusterOptions
from fouls.pipeline.options import ExecutorOptions

WITHOUT_FOULS = "import sys; sys.modules['fouls'] = None"
OLDER_FOULS = "import fouls; fouls.__version__ = '0.0.1'"
RUN_DASK = "from dask.__main__ import main; main()"


@dataclass
class StandingCluster:
    """Started below a folder, which has the certificates; its processes work in a folder of their own."""

    path: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def tls(self) -> list[str]:
        files = {"--tls-ca-file": "ca.pem", "--tls-cert": "cert.pem", "--tls-key": "key.pem"}
        return [part for option, name in files.items() for part in (option, str(self.path / name))]

    @property
    def scheduler_file(self) -> Path:
        return self.path / "scheduler.json"

    @property
    def elsewhere(self) -> Path:
        """Where its processes work."""
        return self.path / "elsewhere"

    @property
    def address(self) -> str:
        address: str = json.loads(self.scheduler_file.read_text())["address"]
        return address

    def start_scheduler(self) -> None:
        """One that can't import fouls."""
        self.scheduler_file.unlink(missing_ok=True)
        self.elsewhere.mkdir(exist_ok=True)
        options = ["--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self._start(
            "scheduler", WITHOUT_FOULS, ["scheduler", *options, "--scheduler-file", str(self.scheduler_file), *self.tls]
        )
        self._wait_for(self.scheduler_file.exists)

    def start_worker(self, name: str, *, resource: str, before: str = "") -> None:
        """One that takes only blocks for its resource; as a nanny's daemon, unless it is not to do any."""
        options = ["--host", "127.0.0.1", "--name", name, "--nthreads", "2", "--resources", f"{resource}=1"]
        options += ["--no-dashboard", "--memory-limit", "0", "--local-directory", str(self.path / "scratch")]
        options += ["--no-nanny"] if before else []
        self._start(name, before, ["worker", self.address, *options, *self.tls])

    def executor(self, resource: str, wait_seconds: float = 60.0) -> ExecutorOptions:
        cluster = ClusterOptions(
            worker_resource=resource,
            worker_wait_seconds=wait_seconds,
            tls_ca=self.path / "ca.pem",
            tls_cert=self.path / "cert.pem",
            tls_key=self.path / "key.pem",
        )
        return ExecutorOptions(scheduler=self.address, cluster=cluster)

    def kill(self, name: str) -> None:
        """With all its processes, at once: as when a machine is lost."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def _start(self, name: str, before: str, arguments: list[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "20s"}
        log = (self.path / f"{name}.log").open("wb")
        script = self.path / f"{name}.py"  # a file, since Dask's nanny has its worker import the main module
        script.write_text(f"{before}\nif __name__ == '__main__':\n    {RUN_DASK}\n")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), *arguments],
            cwd=self.elsewhere,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def _wait_for(self, condition: object) -> None:
        assert callable(condition)
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, (self.path / "scheduler.log").read_text()
            time.sleep(0.05)


def write_certificates(folder: Path) -> None:
    """``ca.pem``, which has signed ``cert.pem`` for 127.0.0.1; ``key.pem`` is its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test cluster")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        return builder.sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    folder.joinpath("ca.pem").write_bytes(certificate(ca_name, ca_key.public_key(), authority=True).public_bytes(pem))
    folder.joinpath("cert.pem").write_bytes(certificate(name, key.public_key(), authority=False).public_bytes(pem))
    folder.joinpath("key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
