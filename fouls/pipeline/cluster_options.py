"""What a user can say of a Dask cluster that stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """How a cluster is joined; without certificates Dask's own configuration holds (``distributed.comm.tls``)."""

    worker_resource: str | None = None
    """A Dask resource, such as ``GPU``, of which every block takes 1: workers that do not have it get none. ``None``:
    blocks go to all workers."""
    worker_wait_seconds: float = 60.0
    """How long the cluster may be without a worker that takes blocks."""
    tls_ca: Path | None = None
    """Certificates of those who may sign the cluster's, PEM."""
    tls_cert: Path | None = None
    """The client's certificate, PEM."""
    tls_key: Path | None = None
    """Its key; ``None``: it stands in the certificate's file."""

    def __post_init__(self) -> None:
        if self.worker_resource is not None and not self.worker_resource.isidentifier():
            raise ConfigError(f"--worker-resource is {self.worker_resource!r}; it must be a name, such as GPU")
        if not self.worker_wait_seconds >= 0:
            raise ConfigError(f"--worker-wait is {self.worker_wait_seconds}; it must be 0 or more seconds")
        if (self.tls_ca is None) != (self.tls_cert is None) or (self.tls_key is not None and self.tls_cert is None):
            raise ConfigError("--tls-ca and --tls-cert belong together, --tls-key to both: give all of them")
        for name in ("tls_ca", "tls_cert", "tls_key"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ConfigError(f"--{name.replace('_', '-')}: no file {path}")

    def check(self, scheduler: str | None) -> None:
        """Check them against the address that they are for.

        Raises:
            ConfigError: no address, or one without TLS for certificates.
        """
        if scheduler is None:
            raise ConfigError("--worker-resource, --worker-wait and --tls-… belong to --scheduler: add its address")
        if self.tls_ca is not None and not scheduler.startswith("tls://") and not scheduler.endswith(".json"):
            raise ConfigError(f"--scheduler is {scheduler!r}; with certificates it must be tls://HOST:PORT")
