"""What can be set of wigwag itself, whatever the provider."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wigwag.settings.fields import setting
from wigwag.settings.values import Listen, Origin, Secret

LogLevel = Literal["critical", "error", "warning", "info", "debug"]


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """For every application.  Each is ``WIGWAG_`` and its name."""

    provider: str = setting(
        "memory", "How messages travel between processes: an installed provider (`wigwag providers`)."
    )
    allowed_origins: tuple[Origin, ...] = setting(
        (), "The origins whose pages may connect, besides the service's own."
    )
    compression: bool = setting(
        False,
        "Compress messages for the clients that can (permessage-deflate), on `wigwag.uvicorn:WebSocketProtocol`.",
    )
    compression_min_bytes: int = setting(
        1024, "Smaller messages are sent as they are: compressing them saves little.", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """For ``wigwag serve``.  Each is ``WIGWAG_`` and its name; where there is an option of that name, the
    option counts."""

    listen: Listen = setting(
        Listen("127.0.0.1", 8000), "Where clients connect: `/ws`, and the page of the stock service."
    )
    internal_listen: Listen = setting(
        Listen("127.0.0.1", 9000),
        "Where backends publish, and health and metrics are asked for; never to be open to the public.",
    )
    api_key: Secret | None = setting(
        None,
        "What backends send as `Authorization: Bearer …` to publish. Without it only this machine may.",
    )
    insecure: bool = setting(
        False, "Let the stock service listen beyond this machine although anyone may join and publish."
    )
    log_level: LogLevel = setting("info", "The least severe that is logged, to standard error.")
    messages_per_s: float = setting(
        100.0, "How many messages a client of the stock service may send in a second.", above=0
    )
    message_bytes: int = setting(
        65536, "The largest message that is taken from a client; a larger one closes with 1009.", at_least=1
    )
    topics_per_socket: int = setting(
        100, "How many topics a client of the stock service may join at once.", at_least=1
    )
