"""Bytes of one frame (RFC 6455, section 5.2)."""

from __future__ import annotations

from typing import Final

# Opcodes.
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
# The bits beside them.
FIN: Final = 0x80
#: Set on the first frame of a compressed message (RFC 7692, section 6).
RSV1: Final = 0x40
#: RFC 6455, section 5.5: a control frame's payload.
MAX_CONTROL_BYTES: Final = 125


#: By the first byte and a size that goes into the second.
_HEADS: Final = [bytes((first_byte, size)) for first_byte in range(256) for size in range(128)]


def encode_frame(first_byte: int, payload: bytes) -> bytes:
    """One unmasked frame, as a server sends it; ``first_byte`` is the opcode with its bits."""
    size = len(payload)
    if size < 126:
        return _HEADS[first_byte << 7 | size] + payload
    if size < 65536:
        return bytes((first_byte, 126, size >> 8, size & 0xFF)) + payload
    return bytes((first_byte, 127)) + size.to_bytes(8, "big") + payload
