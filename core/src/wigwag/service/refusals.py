"""Who was refused, counted by why: of each reason there are few, and none names a topic or a user."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Refusals:
    """Of one server; none is ever reset.  What a socket of a provider's is refused is among the provider's own."""

    #: Tokens of clients, at the handshake or in a message.
    tokens: Counter[str] = field(default_factory=Counter)
    #: Requests to the internal API.
    api: Counter[str] = field(default_factory=Counter)
    #: Connections that did not get as far as the application.
    connections: Counter[str] = field(default_factory=Counter)
