"""How a WebSocket ends: close codes and close frames (RFC 6455, sections 5.5.1 and 7.4)."""

from __future__ import annotations

from typing import Final

from wigwag.frames.encoding import CLOSE, FIN, MAX_CONTROL_BYTES, encode_frame

# What a server says of a client that broke the protocol, and of itself.
PROTOCOL_ERROR: Final = 1002
NOT_UTF8: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
# What is never sent: how an end without a close frame, and a close frame without a code, are reported.
NO_CODE: Final = 1005
ABNORMAL: Final = 1006


class ProtocolError(Exception):
    """The client broke the protocol, or a limit: the connection is closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def too_big(max_bytes: int) -> ProtocolError:
    """A message is larger than it may be."""
    return ProtocolError(TOO_BIG, f"at most {max_bytes} bytes")


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut, between characters, to the 123 bytes that there is room for."""
    if code == NO_CODE:  # an answer to a close frame that has none
        return encode_frame(FIN | CLOSE, b"")
    text = fit_reason(reason).encode()
    return encode_frame(FIN | CLOSE, code.to_bytes(2, "big") + text)


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and reason of a close frame's payload; ``NO_CODE`` where it is empty.

    Raises:
        ProtocolError: half a code, one that may not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not is_sendable(code):
        raise ProtocolError(PROTOCOL_ERROR, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(NOT_UTF8, "the reason is not UTF-8") from None


def is_sendable(code: int) -> bool:
    """Whether an endpoint may send the code; 1012 to 1014 stand in IANA's registry."""
    return (1000 <= code <= 1014 and code not in (1004, NO_CODE, ABNORMAL)) or 3000 <= code <= 4999


def check_close_code(code: int) -> None:
    """Raises ValueError unless an endpoint may send the code."""
    if type(code) is not int or not is_sendable(code):
        raise ValueError(f"{code!r} is no close code to send: use 1000, 1008, 1012, 1013, or 3000 to 4999")


def fit_reason(reason: str) -> str:
    """The reason of a close, cut between characters to what a close frame has room for."""
    data = reason.encode("utf-8", "replace")
    return data[: MAX_CONTROL_BYTES - 2].decode("utf-8", "ignore")
