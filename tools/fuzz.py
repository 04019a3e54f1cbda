#!/usr/bin/env python3
"""Feeds the parser of frames with a million streams that are nearly right, and sees that it only ever reads or refuses.

    tools/fuzz.py [--count N] [--seconds S] [--seed N]
    tools/fuzz.py --repeat HEX [--limit BYTES] [--inflates] [--cuts 3,17]

Each stream is one that a client may send, then bent: bits turned, bytes lost, doubled or made up, another stream's
end; and cut into pieces anywhere. Only messages within the limit, control frames and ProtocolError may come of it, the
same however it is cut, in bounded time, and the process may not grow. A failure is printed with what repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import resource
import secrets
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from wigwag.frames.closing import ProtocolError, parse_close
from wigwag.frames.encoding import BINARY, CLOSE, FIN, MAX_CONTROL_BYTES, PING, PONG, RSV1, TEXT
from wigwag.frames.parser import Control, Parser

COUNT = 1_000_000
LIMITS = (10, 125, 300, 70_000, 70_000)
STREAMS = 1_000
#: So many streams are one step: between two of them it looks at the clock and at its memory.
STEP = 1_000
#: Of processor time, for one step that takes 30 ms.
STEP_LIMIT_S = 20
#: What the process may grow by, once it is warm.
GROWTH_LIMIT_BYTES = 4 * 2**20
GROWTH_LIMIT_BLOCKS = 2_000
#: A frame is no shorter: head and mask.
LEAST_FRAME_BYTES = 6
T = TypeVar("T")

CODES = (1002, 1007, 1009)

TEXTS = ("", "a", "text", "€uro", "\U0001f600" * 3, "ä" * 70, "x" * 125, "x" * 126, "y" * 300)
BYTES = (0x00, 0x01, 0x40, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0x89, 0xC1, 0xC2, 0xED, 0xF4, 0xFE, 0xFF)


class Input(NamedTuple):
    """One stream, as it is fed."""

    data: bytes
    limit: int
    inflates: bool
    cuts: Sequence[int] = ()

    @property
    def chunks(self) -> Sequence[bytes]:
        """Its pieces."""
        data, cuts = self.data, self.cuts
        if not cuts:
            return (data,)
        return [data[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True)]


class Wrong(Exception):
    """The parser did what it may not do."""


def read(stream: Input) -> list[str | bytes | Control | int]:
    """All that comes of it; the last is a close code where it was refused.

    Raises:
        Wrong: something else came.
    """
    parser = Parser(stream.limit, inflates=stream.inflates)
    feed, following = parser.feed, parser.next
    events: list[str | bytes | Control | int] = []
    left = len(stream.data) // LEAST_FRAME_BYTES + 1
    try:
        for chunk in stream.chunks:
            feed(chunk)
            while (event := following()) is not None:
                events.append(event)
                kind = type(event)
                if kind is str or kind is bytes:
                    if len(event) > stream.limit:
                        raise Wrong(f"a message of {len(event)} bytes where {stream.limit} are the limit")
                elif type(event) is not Control or len(event.payload) > MAX_CONTROL_BYTES:
                    raise Wrong(f"{event!r} is no event")
                elif event.opcode == CLOSE:
                    parse_close(event.payload)
                    return events
                if len(events) > left:
                    raise Wrong("more came out than can be in it")
    except ProtocolError as exc:
        if exc.code not in CODES:
            raise Wrong(f"code {exc.code}") from exc
        events.append(exc.code)
    return events


class Maker:
    """Makes streams, all of them by the seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fraction = self._random.random
        self._streams = [self._stream() for _ in range(STREAMS)]

    def _below(self, limit: int) -> int:
        """A number; random's own randrange takes three times as long."""
        return int(self._fraction() * limit)

    def _one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self._fraction() * len(choices))]

    def _frame(self, first: int, payload: bytes) -> bytes:
        size = len(payload)
        form = 127 if size > 65_535 else 126 if size > 125 else 0
        head = bytes((first, 0x80 | (form or size)))
        if form:
            head += size.to_bytes(2 if form == 126 else 8, "big")
        mask = self._random.randbytes(4)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")

    def _control(self) -> bytes:
        return self._frame(
            FIN | self._one_of((PING, PONG)), self._random.randbytes(self._one_of((0, 4, 125)))
        )

    def _message(self) -> bytes:
        payload = self._one_of(TEXTS).encode()
        first = TEXT
        if self._below(3) == 0:
            first = BINARY
            payload = self._random.randbytes(self._one_of((0, 1, 9, 10, 11, 124, 125, 126, 300, 301)))
        if self._below(200) == 0:
            payload *= 300
        if self._below(3) == 0:
            first |= RSV1
            compressor = zlib.compressobj(wbits=-15)
            payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        ends = sorted(self._below(len(payload) + 1) for _ in range(self._one_of((0, 0, 0, 1, 2, 4))))
        frames = b""
        begin = 0
        for end in ends:
            frames += self._frame(first, payload[begin:end])
            if self._below(3) == 0:
                frames += self._control()
            begin, first = end, 0
        return frames + self._frame(FIN | first, payload[begin:])

    def _stream(self) -> bytes:
        parts = [
            self._control() if self._below(5) == 0 else self._message() for _ in range(1 + self._below(3))
        ]
        if self._below(5) == 0:
            code = self._one_of((1000, 1001, 1005, 3000, 4999, 5000)).to_bytes(2, "big")
            parts.append(
                self._frame(FIN | CLOSE, self._one_of((b"", code, code + b"bye", code + b"\xff", b"\x03")))
            )
        return b"".join(parts)

    def _bend(self, data: bytearray) -> None:
        """Do one thing to it."""
        size = len(data)
        # Rather where it begins: heads say more than payloads.
        at = int(self._fraction() * self._fraction() * size)
        kind = int(self._fraction() * 8)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:] = self._one_of(self._streams)
        elif kind == 2:
            data[at:at] = self._random.randbytes(1 + self._below(6))
        elif kind == 3:
            del data[at : at + 1 + self._below(8)]
        elif kind == 4:
            data[at:at] = data[at : at + 1 + self._below(30)]
        elif size:
            data[at] = self._one_of(BYTES) if kind == 5 else data[at] ^ 1 << self._below(8)

    def _cuts(self, size: int) -> Sequence[int]:
        kind = int(self._fraction() * 8)
        if kind < 3 or size < 2:
            return ()
        if kind < 6:
            return (1 + self._below(size - 1),)
        if kind == 6 or size > 80:
            return sorted([self._below(size) for _ in range(4)])
        return range(1, size)  # each byte by itself

    def next(self) -> Input:
        """The next of the streams."""
        kind = self._below(16)
        if kind == 0:
            data = self._random.randbytes(self._below(40))
        else:
            bent = bytearray(self._one_of(self._streams))
            for _ in range((kind + 1) // 4):  # one in eight stays as it is
                self._bend(bent)
            data = bytes(bent)
        return Input(data, self._one_of(LIMITS), self._fraction() < 0.5, self._cuts(len(data)))


@dataclass
class Memory:
    """What the process takes."""

    rss: int
    blocks: int
    peak: int

    @classmethod
    def now(cls) -> Memory:
        """Measured after a collection."""
        gc.collect()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        statm = Path("/proc/self/statm")
        rss = int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else peak
        return cls(rss, sys.getallocatedblocks(), peak)

    def check(self, since: Memory) -> None:
        """Raises Wrong where it has grown."""
        grown = max(self.rss - since.rss, self.peak - max(since.peak, since.rss))
        if grown > GROWTH_LIMIT_BYTES or self.blocks - since.blocks > GROWTH_LIMIT_BLOCKS:
            raise Wrong(f"the process grows: {since}, then {self}")

    def __str__(self) -> str:
        return f"{self.rss / 2**20:.1f} MiB, at most {self.peak / 2**20:.1f} MiB, {self.blocks} blocks"


@dataclass
class Report:
    """What a run found."""

    count: int = 0
    #: How many ended with each code; 0 for none.
    codes: dict[int, int] = field(default_factory=lambda: dict.fromkeys((0, *CODES), 0))
    messages: int = 0
    controls: int = 0
    #: At the start, in the middle, at the end.
    memory: list[Memory] = field(default_factory=list)
    seconds: float = 0


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise Wrong in what hangs. It is processor time that counts; pytest's own limit has the other timer."""

    def too_long(*_: object) -> None:
        raise Wrong(f"it runs for more than {STEP_LIMIT_S} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def try_one(stream: Input, report: Report, number: int) -> None:
    """Read it, count what came; one in ten is read once more, in one piece."""
    events = read(stream)
    code = 0
    for event in events:
        if type(event) is Control:
            report.controls += 1
        elif type(event) is int:
            code = event
        else:
            report.messages += 1
    report.codes[code] += 1
    if stream.cuts and number % 10 == 0:
        whole = read(Input(stream.data, stream.limit, stream.inflates))
        if whole != events:
            raise Wrong(f"in pieces it is {events!r:.200}, in one {whole!r:.200}")


def how_to_repeat(stream: Input) -> str:
    """The command."""
    cuts = f" --cuts {','.join(map(str, stream.cuts))}" if stream.cuts else ""
    flag = " --inflates" if stream.inflates else ""
    return f"tools/fuzz.py --limit {stream.limit}{flag}{cuts} --repeat {stream.data.hex()}"


def run(count: int, seed: int, seconds: float | None = None) -> Report:
    """Try so many, or as many as there is time for.

    Raises:
        SystemExit: with what repeats it, where one fails.
    """
    maker = Maker(seed)
    report = Report()
    begun = time.perf_counter()
    warm = min(count // 10, 20 * STEP)
    stream = Input(b"", 0, inflates=False)
    try:
        with watched():
            for number in range(count):
                if number % STEP == 0:
                    signal.setitimer(signal.ITIMER_VIRTUAL, STEP_LIMIT_S)
                    done = max(number / count, (time.perf_counter() - begun) / seconds if seconds else 0)
                    if done > 1:
                        break
                    if number >= warm and len(report.memory) <= 2 * done:
                        report.memory.append(Memory.now())
                stream = maker.next()
                try_one(stream, report, number)
                report.count += 1
        report.memory.append(Memory.now())
        for memory in report.memory[1:]:
            memory.check(report.memory[0])
    except Exception as exc:
        told = f"seed {seed}, stream {report.count}: {type(exc).__name__}: {exc}\n{how_to_repeat(stream)}"
        raise SystemExit(told) from exc
    report.seconds = time.perf_counter() - begun
    return report


def main(arguments: Sequence[str]) -> int:
    """Run, and print what there was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, help=f"how many streams, where no time is given: {COUNT}")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--seed", type=int, help="the same streams as another time")
    parser.add_argument("--repeat", type=bytes.fromhex, metavar="HEX", help="only this one")
    parser.add_argument("--limit", type=int, default=max(LIMITS), help="of it: the largest message")
    parser.add_argument("--inflates", action="store_true", help="of it: compression was agreed on")
    parser.add_argument("--cuts", default="", help="of it: where it is cut, with commas between")
    options = parser.parse_args(arguments)
    if options.repeat is not None:
        cuts = [int(cut) for cut in options.cuts.split(",") if cut]
        print(read(Input(options.repeat, options.limit, options.inflates, cuts)))
        return 0
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"fuzz: seed {seed}", flush=True)
    count = options.count or (COUNT if options.seconds is None else sys.maxsize)
    report = run(count, seed, options.seconds)
    per_s = report.count / report.seconds
    print(f"fuzz: {report.count} streams in {report.seconds:.1f} s, {per_s:.0f} a second")
    refused = ", ".join(f"{report.codes[code]} with {code}" for code in CODES)
    print(f"fuzz: {report.messages} messages, {report.controls} control frames; refused {refused}")
    for when, memory in zip(("start", "middle", "end"), report.memory, strict=False):
        print(f"fuzz: memory at the {when}: {memory}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
