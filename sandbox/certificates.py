"""The throw-away certificate authority of the sandbox: TLS is verified there as it is in production.

Certificates live in a temporary folder that goes with the authority. A second authority, which nobody trusts, is for
the tests of what must be refused.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import trustme

LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A server's certificate chain and key as PEM files."""

    cert_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """The TLS settings of a server that shows this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


class CertificateAuthority:
    """A root that signs for loopback names, or for the names given. Closing it removes its files."""

    def __init__(self, name: str = "Realign sandbox") -> None:
        self._root = trustme.CA(organization_name=name)
        self._folder = tempfile.TemporaryDirectory(prefix="realign-sandbox-ca-")
        self.ca_file = Path(self._folder.name, "ca.pem")
        self._root.cert_pem.write_to_path(str(self.ca_file))
        self._issued = 0

    @property
    def ca_pem(self) -> str:
        return self._root.cert_pem.bytes().decode("ascii")

    def certificate(self, *names: str) -> ServerCertificate:
        """Signs a certificate for ``names`` (DNS names or addresses), without any for the loopback names."""
        leaf = self._root.issue_cert(*(names or LOOPBACK))
        self._issued += 1
        cert_file = Path(self._folder.name, f"server-{self._issued}.pem")
        key_file = Path(self._folder.name, f"server-{self._issued}.key")
        for index, pem in enumerate(leaf.cert_chain_pems):
            pem.write_to_path(str(cert_file), append=index > 0)
        leaf.private_key_pem.write_to_path(str(key_file))
        key_file.chmod(0o600)
        return ServerCertificate(cert_file, key_file)

    def close(self) -> None:
        self._folder.cleanup()

    def __enter__(self) -> CertificateAuthority:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
