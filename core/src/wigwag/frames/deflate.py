"""Compression for fan-out: permessage-deflate (RFC 7692) without context takeover.  Sans-I/O.

No message refers to another, so that one is compressed once for all sockets that agreed to it, a socket keeps no
compressor, and a socket that compression is switched off for, or a message too small for it, costs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension
from websockets.typing import ExtensionName

from wigwag.frames.closing import PROTOCOL_ERROR, ProtocolError, too_big

NAME: Final = "permessage-deflate"
MAX_WINDOW_BITS: Final = 15
#: zlib's default; with the largest window a compressor takes 256 KiB.
_MEM_LEVEL: Final = 8
#: What a flush ends with, which is left out on the wire (RFC 7692, section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflater:
    """Compresses messages, each by itself, for sockets that agreed to the same window.

    One compressor serves all of them: a full flush makes it forget what came before, for a tenth of what a new one
    costs, so that the memory of compression is bounded by the number of window sizes, seven, and not of sockets.
    """

    __slots__ = ("_compressor", "_min_bytes")

    def __init__(self, min_bytes: int, window_bits: int = MAX_WINDOW_BITS) -> None:
        """Messages of fewer bytes than ``min_bytes`` are not worth it."""
        self._min_bytes = min_bytes
        self._compressor = zlib.compressobj(wbits=-window_bits, memLevel=_MEM_LEVEL)

    def deflate(self, payload: bytes) -> bytes | None:
        """The payload compressed, or None where that is not worth it: too small, or not made smaller."""
        if len(payload) < self._min_bytes:
            return None
        compressor = self._compressor
        data = compressor.compress(payload) + compressor.flush(zlib.Z_FULL_FLUSH)
        return data[: -len(_TAIL)] if len(data) - len(_TAIL) < len(payload) else None


def inflate(payload: bytes, max_bytes: int) -> bytes:
    """Decompress one message; no more than ``max_bytes`` are ever held.

    Raises:
        ProtocolError: it is not compressed so, or is larger.
    """
    decompressor = zlib.decompressobj(wbits=-MAX_WINDOW_BITS)
    try:
        data = decompressor.decompress(payload + _TAIL, max_bytes + 1)
    except zlib.error:
        raise ProtocolError(PROTOCOL_ERROR, "can't be decompressed") from None
    if len(data) > max_bytes:
        raise too_big(max_bytes)
    return data


def most_compressed_bytes(max_bytes: int) -> int:
    """What a message of at most ``max_bytes`` may take compressed, where it can't be: zlib's worst settings add 5 %."""
    return max_bytes + (max_bytes >> 4) + 64


class Agreement(NamedTuple):
    """What server and client agreed on."""

    #: The window of what the server sends.
    window_bits: int
    #: The value of ``Sec-WebSocket-Extensions`` in the answer.
    header: str


_FACTORY: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True
)


def negotiate(offers: Sequence[str]) -> Agreement | None:
    """What to answer to a client's ``Sec-WebSocket-Extensions``; None: no compression.

    Raises:
        InvalidHeader: of websockets: the header can't be read.
    """
    for header in offers:
        for name, parameters in parse_extension(header):
            if name != NAME or ("server_max_window_bits", "8") in parameters:  # zlib has none so small
                continue
            try:
                answer, extension = _FACTORY.process_request_params(parameters, [])
            except NegotiationError:  # the client's next offer may do
                continue
            return Agreement(
                extension.local_max_window_bits, build_extension([(ExtensionName(NAME), answer)])
            )
    return None


__all__ = ["Agreement", "Deflater", "InvalidHeader", "inflate", "most_compressed_bytes", "negotiate"]
