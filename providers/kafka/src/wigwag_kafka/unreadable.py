"""Batches that can't be read are passed over: a codec that is missing, bytes that are damaged.

aiokafka unpacks batches within ``getmany``. Where that fails it raises, loses what it had unpacked of other batches,
and comes to the same batch again: one record of a stranger's would stop this node, in every session.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

#: Told of a partition's number, the offset behind the batch, and what went wrong; synchronous.
Note = Callable[[int, int, Exception], None]


def pass_over(consumer: Any, note: Note) -> None:
    """Have a consumer that was started, and has no partitions yet, go on behind batches that can't be read."""
    consumer._fetcher._records = _Buffer(note)


class _Buffer(OrderedDict[Any, Any]):
    """aiokafka's buffer of what was fetched and not unpacked yet, by partition."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, key: Any, value: Any) -> None:
        records = getattr(value, "_partition_records", None)  # none where it is an error
        if records is not None:
            batches = records._records = _Batches(records._records)
            state = value._assignment.state_value(key)
            records._records_iterator = _readable(records, batches, state, self._note)
        super().__setitem__(key, value)


class _Batches:
    """What was fetched of a partition; it remembers the batch that is being unpacked."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.current: Any = None
        self.has_next: Callable[[], bool] = batches.has_next

    def next_batch(self) -> Any:
        self.current = None
        self.current = self._batches.next_batch()
        return self.current


def _readable(records: Any, batches: _Batches, state: Any, note: Note) -> Iterator[Any]:
    """The records before a batch that can't be read; the rest is fetched again, behind it."""
    unpacked = records._unpack_records()
    while True:
        try:
            record = next(unpacked)
        except StopIteration:
            return
        except Exception as exc:  # noqa: BLE001 - each codec has errors of its own
            position = records.next_fetch_offset
            records.next_fetch_offset = _end_of(batches.current, position, state.highwater)
            note(records._tp.partition, records.next_fetch_offset, exc)
            return
        yield record


def _end_of(batch: Any, position: int, end: int) -> int:
    """Where to go on: behind the batch, or where it does not say, behind all that is there."""
    try:
        behind: int = batch.next_offset
    except Exception:  # noqa: BLE001 - there is none, or its head is damaged
        behind = end
    return behind if position < behind <= end else max(position + 1, end)
