"""The processes of one machine, through wigwag's hub: there is no other library for it."""

from __future__ import annotations

from our_ways import publish_to, receive_from
from ways import OURS, Ways

VARIABLE = "WIGWAG_LOCAL_PATH"

WAYS = Ways(
    receive={OURS: receive_from("local", VARIABLE)},
    publish={OURS: publish_to("local", VARIABLE)},
    publish_singly={OURS: publish_to("local", VARIABLE, 1)},
)
