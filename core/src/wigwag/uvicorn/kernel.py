"""What the kernel knows of a connection."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

if sys.platform == "linux":
    import fcntl
    import termios

    def unacknowledged_bytes(transport: asyncio.BaseTransport) -> int:
        """How much of what the kernel took to send has not come to the peer (SIOCOUTQ, see tcp(7)).

        A transport hears from its kernel only when a good part of that has gone, which may be minutes where the peer
        is slow.
        """
        size = bytearray(4)
        with suppress(OSError, ValueError):  # it was closed
            fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, size)
        return int.from_bytes(size, sys.byteorder)

else:

    def unacknowledged_bytes(transport: asyncio.BaseTransport) -> int:
        """How much of what the kernel took to send has not come to the peer; here that can't be asked."""
        return 0
