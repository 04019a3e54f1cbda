"""A certificate authority of a test's own, made with the ``openssl`` command."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"]
LEAF = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files; the keys are not encrypted.

    The server's is for localhost and 127.0.0.1. Whoever wants one of another authority makes a second set.
    """

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path

    def client_context(self, *, shown: bool = True) -> ssl.SSLContext:
        """Return what a client verifies with: this authority alone; ``shown``: it shows its certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if shown:
            context.load_cert_chain(self.client_cert, self.client_key)
        return context


def make_certificates(directory: Path) -> Certificates:
    """Make an authority, and what it signs for a server and a client, in a directory that is there.

    Raises RuntimeError with what openssl said where that fails, FileNotFoundError where there is none.
    """
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    subject = [
        "-days",
        "30",
        "-subj",
        "/CN=wigwag tests",
        "-addext",
        "keyUsage = critical, keyCertSign, cRLSign",
    ]
    _openssl("req", "-x509", *KEY, *subject, "-keyout", ca_key, "-out", ca)
    (directory / "leaf.cnf").write_text(LEAF)
    for name in ("server", "client"):
        _sign(directory, name, ca, ca_key)
    return Certificates(
        ca=ca,
        server_cert=directory / "server.pem",
        server_key=directory / "server.key",
        client_cert=directory / "client.pem",
        client_key=directory / "client.key",
    )


def _sign(directory: Path, name: str, ca: Path, ca_key: Path) -> None:
    request = directory / f"{name}.csr"
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    _openssl("req", "-new", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    signer: list[str | Path] = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-sha256", "-days", "30"]
    _openssl("x509", "-req", "-in", request, *signer, "-extfile", directory / "leaf.cnf", "-out", cert)


def _openssl(*arguments: str | Path) -> None:
    made = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {made.stderr.strip()}")
