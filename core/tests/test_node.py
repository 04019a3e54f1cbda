"""Socket ids carry their node's tag."""

from __future__ import annotations

import re
import uuid

import pytest

from wigwag.errors import InvalidSocketId
from wigwag.node import new_node_tag, new_socket_id, node_channel, node_tag_of


def test_a_socket_id_is_a_version_4_uuid_with_the_nodes_tag() -> None:
    tag = new_node_tag()
    assert re.fullmatch(r"[0-9a-f]{8}", tag)
    for _ in range(500):
        id_ = new_socket_id(tag)
        parsed = uuid.UUID(id_)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, id_)
        assert node_tag_of(id_) == id_[:8] == tag


def test_ids_and_tags_differ_in_every_digit() -> None:
    ids = [new_socket_id("0" * 8) for _ in range(2000)]
    assert len(set(ids)) == len({new_node_tag() for _ in range(2000)}) == 2000
    for place in {*range(8, 36)} - {8, 13, 14, 18, 23}:  # all but dashes and the version
        expected = 4 if place == 19 else 16
        assert len({id_[place] for id_ in ids}) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0123abcd",
        "0123abcd-0000-4000-8000-00000000000",
        "0123abcd-0000-4000-8000-0000000000000",
        "0123abcd-0000-4000-8000-000000000000\n",
        "0123ABCD-0000-4000-8000-000000000000",
        "0123abcd-0000-1000-8000-000000000000",
        "0123abcd-0000-4000-7000-000000000000",
        "0123abcd-0000-4000-8000-00000000000g",
        "0123abcd00004000800000000000000000",
        "{0123abcd-0000-4000-8000-000000000000}",
        "x" * 10_000,
        None,
        7,
        b"0123abcd-0000-4000-8000-000000000000",
    ],
    ids=lambda bad: ascii(bad)[:50],
)
def test_what_is_no_socket_id_is_refused(bad: object) -> None:
    with pytest.raises(InvalidSocketId) as got:
        node_tag_of(bad)  # type: ignore[arg-type]
    assert got.value.socket_id == bad
    assert len(str(got.value)) < 200


def test_a_nodes_channel_is_reserved() -> None:
    assert node_channel("0123abcd") == "__node__:0123abcd"
