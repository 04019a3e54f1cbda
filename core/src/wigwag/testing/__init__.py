"""Fakes for tests: a broker whose every confirmation the test holds, and a socket that records.

Several :class:`FakeBroker` on one :class:`FakeNetwork` hear each other, as nodes on a real broker do::

    network = FakeNetwork()
    async with Provider(FakeBroker(network)) as a, Provider(FakeBroker(network)) as b:
        socket = FakeSocket(b.new_socket_id())
        b.attach(socket)
        await b.subscribe(socket.id, "lobby")
        await a.publish("lobby", "hello")

Nothing here knows the time: a call takes one turn of the loop or, where its :class:`Gate` is shut, as long
as the test wants.  A fake broker also watches over core: what core promises a plugin
(:class:`wigwag.broker.Broker`) and does not keep stands in :attr:`FakeBroker.violations`.
"""

from __future__ import annotations

from wigwag.testing.broker import FakeBroker, FakeNetwork
from wigwag.testing.gate import Gate
from wigwag.testing.socket import FakeSocket

__all__ = ["FakeBroker", "FakeNetwork", "FakeSocket", "Gate"]
