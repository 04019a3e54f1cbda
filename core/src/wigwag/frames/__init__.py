"""RFC 6455, as a server speaks it.  Sans-I/O.

What is written to sockets (:class:`Frame`, :class:`Batch`), what is read from one (``parser``), how a connection
ends (``closing``), and compression (``deflate``, RFC 7692).
"""

from wigwag.frames.closing import check_close_code, encode_close, fit_reason
from wigwag.frames.encoding import MAX_CONTROL_BYTES, encode_frame
from wigwag.frames.frame import Batch, Frame

__all__ = [
    "MAX_CONTROL_BYTES",
    "Batch",
    "Frame",
    "check_close_code",
    "encode_close",
    "encode_frame",
    "fit_reason",
]
