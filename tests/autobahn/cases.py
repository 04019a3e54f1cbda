"""Which of Autobahn's cases are run, and when: 517 there are, and those of compression take a quarter of an hour."""

from __future__ import annotations

from collections.abc import Mapping

#: What the cases of each group are about.
GROUPS: Mapping[int, str] = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragments",
    6: "UTF-8",
    7: "close",
    9: "limits, large messages",
    10: "automatic fragments",
    12: "compression: data",
    13: "compression: parameters",
}

PROTOCOL_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
LIMIT_CASES = ("9.*",)

#: Kinds of data (JSON, a picture, text, HTML, a PDF), each sent 1000 times in 18 sizes.
_DATA = tuple(f"12.{kind}" for kind in range(1, 6))
#: What the client offers: with or without context takeover, windows of 2**9 or 2**15 bytes, several of them.
_PARAMETERS = tuple(f"13.{offer}" for offer in range(1, 8))

ALL_COMPRESSION_CASES = tuple(f"{kind}.*" for kind in (*_DATA, *_PARAMETERS))
#: Each kind of data in messages of 1024 bytes, and of 8192 in fragments of 256; each offer likewise; and JSON in the
#: smallest size, and in one beyond what a transport buffers.
SOME_COMPRESSION_CASES = (
    *(f"{kind}.4" for kind in _DATA),
    *(f"{each}.11" for each in (*_DATA, *_PARAMETERS)),
    "12.1.1",
    "12.1.9",
)
#: For an agent that must decline.
DECLINED_CASES = ("12.1.1", *(f"{offer}.1" for offer in _PARAMETERS))
