"""TLS, as a provider's settings say it: the same three files, and the same words, for each of them."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import NoReturn, Protocol

from wigwag.errors import SettingsError


class TlsFiles(Protocol):
    """The settings of a provider that can speak TLS."""

    @property
    def tls_ca_file(self) -> Path | None:
        """PEM: the authorities that are trusted; the machine's unless it is set."""

    @property
    def tls_cert_file(self) -> Path | None:
        """PEM: the certificate to show, if the server wants one."""

    @property
    def tls_key_file(self) -> Path | None:
        """PEM: its key, without a passphrase, unless it is in the certificate's file."""


_FIELDS = ("tls_ca_file", "tls_cert_file", "tls_key_file")


def tls_files_set(settings: TlsFiles) -> list[str]:
    """The names of those fields that are set."""
    return [field for field in _FIELDS if getattr(settings, field) is not None]


def tls_context(settings: TlsFiles, prefix: str) -> ssl.SSLContext:
    """What a connection over TLS is made with: certificates and host names are verified.

    ``prefix`` is that of the settings' variables: ``WIGWAG_NATS_``. Reads the files, which takes some 20 ms.

    Raises:
        SettingsError: a file is missing or can't be used; one line, with the variable to change.
    """
    if settings.tls_key_file is not None and settings.tls_cert_file is None:
        name = f"{prefix}TLS_KEY_FILE"
        _refuse(prefix, "tls_cert_file", f"is not set, and {name} is: they go together")
    for field in tls_files_set(settings):  # ssl does not say which is missing
        path: Path = getattr(settings, field)
        if not path.is_file():
            _refuse(prefix, field, f"can't be used: there is no file {path}")
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as exc:
        _refuse(prefix, "tls_ca_file", f"can't be used: {_reason(exc)}", exc)
    if settings.tls_cert_file is not None:
        try:
            # The password function keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=lambda: "")
        except (OSError, ValueError) as exc:
            _refuse(prefix, "tls_cert_file", f"can't be used: {_reason(exc)}", exc)
    return context


def is_loopback(address: str) -> bool:
    """Whether an address, or ``localhost``, is of this machine; any other name is not looked up."""
    host = address.strip("[]").partition("%")[0]
    if host == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"it is no PEM file of that kind, or does not fit its key ({exc.reason or 'unreadable'})"
    if isinstance(exc, OSError):
        return f"{exc.strerror or exc}"
    return "it is no PEM file of that kind"


def _refuse(prefix: str, field: str, text: str, cause: Exception | None = None) -> NoReturn:
    variable = f"{prefix}{field.upper()}"
    raise SettingsError(f"{variable} {text}", variable=variable) from cause
