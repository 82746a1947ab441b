"""Metrics in the text format of Prometheus, from the answer of the operation ``metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.service.operations.monitor.monitor_answers import MetricsReport

__all__ = ["CONTENT_TYPE", "exposition"]

#: The media type of the text.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(report: MetricsReport) -> bytes:
    """The text.  The registry is one of its own, so that nothing of the process or of another library is in it."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    class _MetricCollector(Collector):
        def collect(self) -> Iterator[Metric]:
            for family in report.families:
                metric = Metric(family.name, family.help, family.type)
                for sample in family.samples:
                    suffix = "_total" if family.type == "counter" else sample.suffix
                    metric.add_sample(family.name + suffix, sample.labels, sample.value)
                yield metric

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_MetricCollector())
    return generate_latest(registry)
