"""What clients are told when the broker is away."""

import pytest
from incidents import Acknowledge, Acknowledged, Watch, app

from wigwag.client import RequestFailed, Resync
from wigwag.testing import AppClient, FakeProvider

pytestmark = pytest.mark.anyio


async def test_an_outage_is_told_and_passes() -> None:
    provider = FakeProvider()
    async with AppClient(app, provider=provider) as client:
        ann = await client.connect("/ws?token=t-ann")
        await ann.request(Watch())

        provider.network.stop()
        with pytest.raises(RequestFailed, match="Unavailable"):
            await ann.request(Acknowledge(title="Disk"))

        provider.network.start()
        resync = await ann.expect(Resync)  # messages may be missing: the page fetches again
        assert resync.topics == ["incidents:acme"]
        await ann.request(Acknowledge(title="Disk"))
        assert provider.emitted(Acknowledged) == [Acknowledged(title="Disk", by="ann")]
