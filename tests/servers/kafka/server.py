"""The Kafka that tests start."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from servers.certificates import Certificates, make_certificates
from servers.kafka.installation import installed
from servers.kafka.listeners import PASSWORD, PROTOCOLS, Secured, client_options, has_tls, listener_properties
from servers.kafka.process import KafkaProcess
from servers.process import HOST, HeldPort


class KafkaServer(KafkaProcess):
    """One Kafka broker on free ports. Settings override ours; ``listeners`` are further, secured ones.

    There is always a plain listener on ``port``, and topics are made by the test alone. After a kill the
    broker serves again once its session has expired: a second or two. ``advertised_port``, set before
    ``start``, is where the plain listener sends clients on to: the port of a proxy before it.
    """

    def __init__(
        self, properties: Mapping[str, str] | None = None, listeners: Iterable[Secured] = ()
    ) -> None:
        super().__init__(properties or {})
        self._held: dict[Secured, HeldPort] = {listener: HeldPort() for listener in listeners}

    @property
    def bootstrap(self) -> str:
        """Where a client finds its plain listener: host and port."""
        return self.url

    def port_of(self, listener: Secured) -> int:
        """Return the port of a secured listener."""
        return self._held[listener].number

    def bootstrap_of(self, listener: Secured) -> str:
        """Return where a client finds a secured listener: host and port."""
        return f"{HOST}:{self.port_of(listener)}"

    def client_options(
        self, listener: Secured, *, password: str = PASSWORD, context: ssl.SSLContext | None = None
    ) -> dict[str, Any]:
        """Return what aiokafka's clients need for a secured listener: address, login, TLS.

        ``context``: another than one that trusts ``certificates``, and shows the client's where it must.
        """
        if has_tls(listener) and context is None:
            context = self.certificates.client_context(shown=listener == "mtls")
        address = {"bootstrap_servers": self.bootstrap_of(listener)}
        return address | client_options(listener, password, context)

    @functools.cached_property
    def certificates(self) -> Certificates:
        """The authority of the listeners with TLS, the server's certificate and a client's."""
        return make_certificates(self.directory)

    def folder(self) -> Path:
        return installed()

    def properties(self) -> dict[str, str]:
        properties = super().properties()
        for listener, port in self._held.items():
            address = f",{listener}://{HOST}:{port.number}"
            properties["listeners"] += address
            properties["advertised.listeners"] += address
            properties["listener.security.protocol.map"] += f",{listener}:{PROTOCOLS[listener]}"
            properties |= listener_properties(listener, self.certificates, self._keystore)
        return properties | self._properties

    @functools.cached_property
    def _keystore(self) -> Path:
        keystore = self.directory / "server-keystore.pem"
        made = self.certificates
        keystore.write_text(made.server_key.read_text() + made.server_cert.read_text())
        return keystore

    def close(self) -> None:
        super().close()
        for port in self._held.values():
            port.close()
