"""The conformance suite: what every broker plugin passes, against a real server.

::

    from wigwag.testing.contract import BrokerContract

    class TestMqtt(BrokerContract):
        @pytest.fixture(autouse=True)
        def servers(self, mosquitto):
            self.server = mosquitto

        def make_broker(self):
            return MqttBroker(MqttSettings(url=self.server.url))

        async def cut_link(self, broker):
            ...

and ``pytest``.  Only :meth:`~BrokerContract.make_broker` must be given.  Each other hook brings more tests,
which are skipped until it is there; one that has no meaning for the broker is named in ``without``.  What is
expected is read from the broker's :class:`~wigwag.broker.Capabilities`.

Needs pytest: ``pip install wigwag[testing]``.
"""

from __future__ import annotations

from typing import Any

try:
    import pytest  # noqa: F401 - the first to need it
except ImportError as _missing:
    raise ImportError("the conformance suite needs pytest: pip install 'wigwag[testing]'") from _missing

from wigwag.testing.contract.cancelling import CancellingTests
from wigwag.testing.contract.delivery import DeliveryTests
from wigwag.testing.contract.hooks import adapt
from wigwag.testing.contract.inbox import RecordingInbox
from wigwag.testing.contract.life import LifeTests
from wigwag.testing.contract.outages import OutageTests
from wigwag.testing.contract.payloads import PayloadTests
from wigwag.testing.contract.session import ContractSession, open_session
from wigwag.testing.contract.subscribing import SubscribingTests

__all__ = ["BrokerContract", "ContractSession", "RecordingInbox", "open_session"]


class BrokerContract(SubscribingTests, DeliveryTests, PayloadTests, LifeTests, CancellingTests, OutageTests):
    """Subclass it as ``TestSomething``; see the module."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adapt(cls, BrokerContract)
