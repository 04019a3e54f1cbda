"""What Prometheus reads."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from wigwag.provider import Provider
from wigwag.provider.counters import Counters
from wigwag.provider.histogram import Histogram
from wigwag.provider.node import Node
from wigwag.service.refusals import Refusals


class ProviderCollector(Collector):
    """Reads the counters of the providers when it is asked.

    The labels are the provider's name and a reason, of which there are few: never a topic or a user.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers

    def collect(self) -> Iterator[Metric]:
        """One family after the other, each with a sample for every provider's name."""
        yield self._gauge("connections", "Sockets that hang on this node.", _connections)
        yield self._gauge(
            "outbound_buffer_bytes", "Bytes that wait for sockets which do not take them.", _buffered_bytes
        )
        yield self._gauge(
            "publish_queue_messages",
            "Messages that wait for the broker, or for its answer.",
            _queued_messages,
        )
        yield self._gauge("subscriptions", "Pairs of a socket and a topic.", _subscriptions)
        yield self._gauge("topics", "Topics that some socket of this node wants.", _topics)
        yield self._gauge("broker_up", "Whether the broker session is ready and heard.", _up, min)
        yield self._gauge("broker_probe_seconds", "How long the last probe took.", _probe_s, max)
        yield self._counter("connections_opened", "Sockets that connected.", lambda counters: counters.opened)
        yield self._by_reason(
            "connections_closed",
            "Sockets that closed, by the close code.",
            lambda counters: counters.closed,
        )
        yield self._counter("messages_received", "Messages from clients.", lambda counters: counters.received)
        yield self._counter(
            "messages_published",
            "Publishes, sends and broadcasts that this node was asked for.",
            lambda counters: counters.published,
        )
        yield self._counter(
            "messages_delivered",
            "Messages handed to this node's sockets, once for each.",
            lambda counters: counters.delivered,
        )
        yield self._by_reason(
            "messages_dropped",
            "Messages that a slow socket did not get.",
            lambda counters: counters.dropped,
        )
        yield self._by_reason(
            "messages_foreign",
            "Messages on this node's channels that are not wigwag's, by what is wrong with them.",
            lambda counters: counters.foreign,
        )
        yield self._by_reason(
            "publish_errors",
            "Messages that the broker did not take, or may not have, by why.",
            lambda counters: counters.publish_errors,
        )
        yield self._histogram(
            "publish_seconds",
            "How long messages waited until the broker had them.",
            lambda counters: counters.publish_s,
        )
        yield self._histogram(
            "delivery_lag_seconds",
            "How long messages were on their way to this node, from the publisher's clock to this one's.",
            lambda counters: counters.lag_s,
        )
        yield self._counter(
            "resyncs",
            "Sockets that were told that they may have missed messages (wigwag.resync).",
            lambda counters: counters.resyncs,
        )
        yield self._by_reason(
            "refused",
            "Sockets, messages and joins that were refused, by why.",
            lambda counters: counters.refused,
        )
        yield self._counter(
            "broker_sessions",
            "Broker sessions that became ready; each but the first is a reconnection.",
            lambda counters: counters.sessions,
        )
        yield _build_info()

    def _gauge(
        self,
        name: str,
        help: str,
        read: Callable[[Node], float | None],
        total: Callable[[Iterable[float]], float] = sum,
    ) -> Metric:
        family = GaugeMetricFamily(f"wigwag_{name}", help, labels=["provider"])
        values: dict[str, list[float]] = {}
        for provider in self._providers:
            value = None if provider.node is None else read(provider.node)
            if value is not None:
                values.setdefault(provider.name, []).append(value)
        for provider_name, found in values.items():
            family.add_metric([provider_name], total(found))
        return family

    def _counter(self, name: str, help: str, read: Callable[[Counters], int]) -> Metric:
        family = CounterMetricFamily(f"wigwag_{name}", help, labels=["provider"])
        totals: dict[str, int] = {}
        for provider in self._providers:
            totals[provider.name] = totals.get(provider.name, 0) + read(provider.counters)
        for provider_name, total in totals.items():
            family.add_metric([provider_name], total)
        return family

    def _by_reason(self, name: str, help: str, read: Callable[[Counters], dict[str, int]]) -> Metric:
        family = CounterMetricFamily(f"wigwag_{name}", help, labels=["provider", "reason"])
        totals: dict[tuple[str, str], int] = {}
        for provider in self._providers:
            for reason, count in read(provider.counters).items():
                key = (provider.name, str(reason))
                totals[key] = totals.get(key, 0) + count
        for (provider_name, reason), total in totals.items():
            family.add_metric([provider_name, reason], total)
        return family

    def _histogram(self, name: str, help: str, read: Callable[[Counters], Histogram]) -> Metric:
        family = HistogramMetricFamily(f"wigwag_{name}", help, labels=["provider"])
        totals: dict[str, Histogram] = {}
        for provider in self._providers:
            if not provider.in_process:  # nothing waits for a broker there, nor is on its way
                totals.setdefault(provider.name, Histogram()).add(read(provider.counters))
        for provider_name, total in totals.items():
            family.add_metric([provider_name], list(total.buckets()), total.sum_s)
        return family


class RefusalCollector(Collector):
    """Reads what was refused before it got as far as a provider."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        refusals = self._refusals
        yield _reasons("tokens_refused", "Tokens of clients that were refused, by why.", refusals.tokens)
        yield _reasons("api_refused", "Requests to the internal API that were refused, by why.", refusals.api)
        yield _reasons(
            "connections_refused",
            "Connections that were refused before the application saw them, by why.",
            refusals.connections,
        )


def _reasons(name: str, help: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"wigwag_{name}", help, labels=["reason"])
    for reason, count in counts.items():
        family.add_metric([reason], count)
    return family


class CapacityCollector(Collector):
    """Says how many sockets are let in."""

    def __init__(self, max_sockets: int) -> None:
        self._max_sockets = max_sockets

    def collect(self) -> Iterator[Metric]:
        """It never changes."""
        text = "Sockets that this process has room for; more are refused."
        yield GaugeMetricFamily("wigwag_connections_limit", text, value=self._max_sockets)


def registry_of(
    providers: Sequence[Provider], refusals: Refusals | None = None, max_sockets: int | None = None
) -> CollectorRegistry:
    """A registry of its own, with the providers' numbers and the process's (memory, CPU, files).

    ``max_sockets``: how many are let in; None where there is no limit.
    """
    registry = CollectorRegistry(auto_describe=False)
    if max_sockets is not None:
        registry.register(CapacityCollector(max_sockets))
    registry.register(ProviderCollector(providers))
    if refusals is not None:
        registry.register(RefusalCollector(refusals))
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page and its content type, in the format that the ``Accept`` header asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _build_info() -> Metric:
    family = GaugeMetricFamily(
        "wigwag_build_info", "Which wigwag and Python run.", labels=["version", "python"]
    )
    family.add_metric([version("wigwag"), platform.python_version()], 1)
    return family


def _connections(node: Node) -> float:
    return len(node.fanout.sockets)


def _buffered_bytes(node: Node) -> float:
    return node.fanout.buffered_bytes


def _queued_messages(node: Node) -> float:
    return node.queued_messages


def _subscriptions(node: Node) -> float:
    return node.fanout.interest.subscriptions


def _topics(node: Node) -> float:
    return len(node.fanout.interest)


def _up(node: Node) -> float:
    return int(node.is_up)


def _probe_s(node: Node) -> float | None:
    return node.link.probe_s
