"""From settings, in code or in the environment, to a provider or an emitter."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wigwag import factory, plugins
from wigwag.emitter import Emitter
from wigwag.errors import SettingsError, UnknownProvider
from wigwag.factory import create_emitter, create_provider, known_variables, load_core_settings
from wigwag.memory import MemorySettings
from wigwag.plugins import ProviderPlugin
from wigwag.provider import ProviderSettings
from wigwag.settings import variables
from wigwag.testing import FakeBroker, FakeNetwork


@dataclass(frozen=True)
class QueueSettings:
    """The settings of a plugin that stands for one with a broker."""

    url: str = "queue://localhost"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[QueueSettings]:
    """Install a plugin ``queue`` over a fake broker; what its brokers were made with."""
    made: list[QueueSettings] = []

    def create(settings: QueueSettings) -> FakeBroker:
        made.append(settings)
        return FakeBroker(FakeNetwork())

    plugin = ProviderPlugin(name="queue", summary="", settings=QueueSettings, create=create)
    monkeypatch.setattr(factory, "load", lambda name: plugin if name == "queue" else plugins.load(name))
    return made


def test_with_nothing_said_it_is_in_process() -> None:
    provider = create_provider(environ={})
    assert provider.name == "memory"
    assert provider.in_process
    assert not provider.is_running
    assert provider.settings == ProviderSettings()


def test_the_environment_chooses_the_provider_and_its_settings(made: list[QueueSettings]) -> None:
    environ = {
        "WIGWAG_PROVIDER": "queue",
        "WIGWAG_QUEUE_URL": "queue://q:1",
        "WIGWAG_LINGER_S": "0",
        "WIGWAG_LISTEN": ":80",
        "WIGWAG_REDIS_URL": "redis://not-chosen",
        "WIGWAG_PORT": "tcp://10.0.0.7:8000",
    }
    provider = create_provider(environ=environ)
    assert provider.name == "queue"
    assert made == [QueueSettings("queue://q:1")]
    assert provider.settings == ProviderSettings(linger_s=0)


def test_what_is_given_in_code_counts_before_the_environment(made: list[QueueSettings]) -> None:
    environ = {"WIGWAG_PROVIDER": "memory", "WIGWAG_QUEUE_URL": "queue://q:1", "WIGWAG_LINGER_S": "9"}
    given = ProviderSettings(linger_s=1)
    provider = create_provider("queue", QueueSettings("mine"), provider_settings=given, environ=environ)
    assert (provider.name, made, provider.settings) == ("queue", [QueueSettings("mine")], given)


def test_it_reads_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_LINGER_S", "7")
    assert create_provider().settings.linger_s == 7


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WIGWAG_PROVIDER": "redis"}, "WIGWAG_PROVIDER='redis': no such provider is installed"),
        ({"WIGWAG_LINGER_S": "soon"}, "WIGWAG_LINGER_S='soon': it must be a number of seconds"),
        ({"WIGWAG_LINGERS": "1"}, "WIGWAG_LINGERS is no setting of wigwag; the nearest is"),
        ({"WIGWAG_MEMORY_URL": "x"}, "WIGWAG_MEMORY_URL is no setting of wigwag"),
        ({"WIGWAG_PROVIDER": "queue", "WIGWAG_QUEUE_URI": "x"}, "the nearest is WIGWAG_QUEUE_URL"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said_before_anything_is_made(
    made: list[QueueSettings], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        create_provider(environ=environ)
    assert message in str(caught.value)
    assert not made


def test_the_settings_of_another_provider_are_refused() -> None:
    with pytest.raises(SettingsError, match="'memory' takes MemorySettings, not QueueSettings"):
        create_provider("memory", QueueSettings(), environ={})
    assert create_provider("memory", MemorySettings(), environ={}).name == "memory"


def test_origins_are_read_for_every_application() -> None:
    core = load_core_settings({"WIGWAG_ALLOWED_ORIGINS": "https://a.example,https://b.example:444"})
    assert core.allowed_origins == ("https://a.example", "https://b.example:444")


def test_no_variable_is_read_for_two_settings() -> None:
    names = [variable.name for variable in known_variables()]
    assert len(names) == len(set(names))


def test_each_setting_of_the_provider_says_what_it_means() -> None:
    assert not [v.name for v in variables(ProviderSettings, "WIGWAG_") if not v.help]


class AppEmitter(Emitter):
    """An application's own."""


@pytest.mark.anyio
async def test_an_emitter_publishes_and_subscribes_to_nothing(made: list[QueueSettings]) -> None:
    async with create_emitter("queue", emitter=AppEmitter, environ={}) as emitter:
        assert type(emitter) is AppEmitter
        provider = emitter._provider
        await emitter.publish("lobby", "hello")
    broker = provider._broker  # type: ignore[attr-defined]
    assert list(broker.network.messages) == ["lobby"]
    assert broker.called("subscribe") == []
    assert not broker.is_up


@pytest.mark.anyio
async def test_an_emitter_that_nobody_would_hear_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"nobody would hear it\. Set WIGWAG_PROVIDER to the provider"):
        async with create_emitter(environ={}):
            pass
    async with create_emitter(environ={}, allow_in_process=True) as emitter:
        assert type(emitter) is Emitter


@pytest.mark.anyio
async def test_an_emitter_of_an_unknown_provider_is_refused() -> None:
    with pytest.raises(UnknownProvider):
        async with create_emitter("redis", environ={}):
            pass
