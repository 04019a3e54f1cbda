"""For the tests of applications, services and brokers.

For an application: :class:`AppClient` runs it with clients in memory, no ports and no threads::

    async with AppClient(app) as client:
        ann = await client.connect("/ws?token=t-ann")
        await ann.request(Say(text="hi"))
        assert await ann.expect(Said) == Said(text="hi")

For a service: :class:`RecordingEmitter`, and :class:`FakeProvider` for emitters of the application's own, and to
take an application's broker away.  ``docs/testing.md`` goes through them.

For a provider of your own there is the suite that every broker passes, :mod:`wigwag.testing.contract`; and for
what stands on a broker a :class:`FakeBroker` whose every confirmation the test holds.  Several on one
:class:`FakeNetwork` hear each other, as nodes on a real broker do::

    network = FakeNetwork()
    async with Provider(FakeBroker(network)) as a, Provider(FakeBroker(network)) as b:
        socket = FakeSocket(b.new_socket_id())
        b.attach(socket)
        await b.subscribe(socket.id, "lobby")
        await a.publish("lobby", "hello")

A fake broker knows no time: a call takes one turn of the loop or, where its :class:`Gate` is shut, as long as the
test wants.  It also watches over core: what core promises a plugin (:class:`wigwag.broker.Broker`) and does not keep
stands in :attr:`FakeBroker.violations`.
"""

from __future__ import annotations

from wigwag.testing.app import AppClient
from wigwag.testing.broker import FakeBroker, FakeNetwork
from wigwag.testing.connection import AppConnection
from wigwag.testing.gate import Gate
from wigwag.testing.recording import FakeProvider, Recorder, RecordingEmitter, Sent
from wigwag.testing.socket import FakeSocket

__all__ = [
    "AppClient",
    "AppConnection",
    "FakeBroker",
    "FakeNetwork",
    "FakeProvider",
    "FakeSocket",
    "Gate",
    "Recorder",
    "RecordingEmitter",
    "Sent",
]
