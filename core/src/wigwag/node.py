"""Node tags, and the socket ids that carry them.

A socket id is a version 4 UUID whose first 8 hex digits are the tag of the node on which the socket
hangs, so that a direct send needs no look-up and no broker subscription per socket. 90 random bits
remain, from the operating system's generator.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from wigwag.errors import InvalidSocketId

#: Every node hears it: broadcasts, and questions that all nodes answer.
BROADCAST_CHANNEL: Final = "__broadcast__"

_is_socket_id = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII
).fullmatch
_VARIANTS: Final = "89ab"


def new_node_tag() -> str:
    """8 random hex digits that name one run of one node."""
    return secrets.token_hex(4)


def new_socket_id(node_tag: str) -> str:
    """A socket id of the node with this tag."""
    r = secrets.token_hex(12)
    variant = _VARIANTS[int(r[0], 16) & 3]
    return f"{node_tag}-{r[1:5]}-4{r[5:8]}-{variant}{r[8:11]}-{r[11:23]}"


def node_tag_of(socket_id: str) -> str:
    """The tag of the node on which this socket hangs.

    Raises:
        InvalidSocketId: it is no socket id.
    """
    if type(socket_id) is not str or not _is_socket_id(socket_id):
        raise InvalidSocketId(socket_id)
    return socket_id[:8]


def node_channel(node_tag: str) -> str:
    """The channel that only this node hears: direct messages and its probe."""
    return f"__node__:{node_tag}"
