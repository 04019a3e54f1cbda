"""The numbers of all workers on one page: each series once a worker, by the label ``worker``.

Not summed here: when a worker starts anew its counters begin at 0, which Prometheus knows how to take of a series, and
of a sum does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from wigwag.local import Hub
from wigwag.service.metrics import registry_of
from wigwag.service.refusals import Refusals

#: What the workers are asked for: the format that the parser reads.
ACCEPT: Final = b"text/plain; version=0.0.4"
_LABEL: Final = "worker"


class Merged(Collector):
    """The pages of workers, by the worker's name, and the supervisor's own numbers."""

    def __init__(self, pages: Mapping[str, str], own: Iterable[Metric]) -> None:
        self._pages = dict(pages)
        self._own = list(own)

    def collect(self) -> Iterator[Metric]:
        """Each family once."""
        families: dict[str, Metric] = {}
        for worker, page in self._pages.items():
            for metric in text_string_to_metric_families(page):
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    labels = {_LABEL: worker, **sample.labels}
                    family.add_sample(sample.name, labels, sample.value, sample.timestamp, sample.exemplar)
        yield from families.values()
        yield from self._own


def own_page(refusals: Refusals) -> str:
    """The numbers of this process (memory, CPU, files), and whom it has refused."""
    return generate_latest(registry_of([], refusals)).decode()


def supervisor_numbers(serving: int, restarts: int, hub: Hub | None) -> Iterator[Metric]:
    """What the supervisor counts itself: workers that take connections, those started anew, and its hub's numbers."""
    yield GaugeMetricFamily("wigwag_workers", "Workers that take connections.", value=serving)
    yield CounterMetricFamily(
        "wigwag_worker_restarts", "Workers that ended by themselves, and were started anew.", value=restarts
    )
    if hub is not None:
        yield GaugeMetricFamily(
            "wigwag_hub_processes", "Processes that are connected to the hub.", value=hub.processes
        )
        yield CounterMetricFamily("wigwag_hub_messages", "Messages that came to the hub.", value=hub.messages)
        yield CounterMetricFamily(
            "wigwag_hub_cuts", "Links that the hub cut because a process read too slowly.", value=hub.cuts
        )
