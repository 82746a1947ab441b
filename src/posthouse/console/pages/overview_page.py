"""The overview page: a daemon in numbers, and the same numbers for Prometheus at ``/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posthouse.codes import sentence
from posthouse.console.charts import Curve, bar, course, spark
from posthouse.console.declarations import NavEntry, Page, Shown
from posthouse.core import Reply
from posthouse.service.operations.monitor.exposition import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.monitor.monitor_answers import OverviewReport, RateSeries

__all__ = ["NAV", "ROUTES"]

_CURVES: Final = ("accepted", "delivered", "deferred", "failed", "refused")
_FIGURES: Final = ("accepted", "delivered", "deferred", "refused")
_SOON: Final = 14 * 86_400.0  # seconds before the end of a certificate


async def _show(page: PageRequest) -> Shown:
    report: OverviewReport = await page.run("monitor overview")
    span = "day" if page.query.get("span") == "day" else "hour"
    series = report.day if span == "day" else report.hour
    curves = [Curve(name, page.text(f"overview.{name}"), series.rates.get(name, [])) for name in _CURVES]
    most = max((each.count for each in report.refusals), default=1)
    busiest = max((each.delivered + each.deferred + each.failed for each in report.destinations), default=1)
    return Shown(
        "overview_show.html",
        report,
        {
            "span": span,
            "plot": course(series.times, curves, page.text(f"overview.plot.{span}")),
            "curves": _CURVES,
            "figures": [_figure(report, name) for name in _FIGURES],
            "refusals": [(each, _words(page, each.codes), bar(each.count / most)) for each in report.refusals[:12]],
            "destinations": [
                (each, bar((each.delivered + each.deferred + each.failed) / busiest))
                for each in report.destinations[:12]
            ],
            "disk": bar(1 - report.storage.free / report.storage.size if report.storage.size else 0.0),
            "ending": [each for each in report.certificates if each.until - report.now < _SOON],
            "slowest": max((latency.p99 or 0.0 for latency in report.latencies), default=0.0) or 1.0,
        },
    )


def _figure(report: OverviewReport, name: str) -> dict[str, Any]:
    """A number at the top: what happened a second within the last minute, and in all."""
    values = report.hour.rates.get(name, [])
    return {
        "name": name,
        "rate": sum(values[-6:]) / len(values[-6:]) if values else 0.0,
        "total": report.counts[name],
        "spark": spark(_thinned(report.hour, name), name),
    }


def _thinned(series: RateSeries, name: str) -> list[float]:
    """The course in at most 60 values, each the mean of its part."""
    values = series.rates.get(name, [])
    size = max(1, -(-len(values) // 60))
    return [sum(values[at : at + size]) / len(values[at : at + size]) for at in range(0, len(values), size)]


def _words(page: PageRequest, codes: str) -> str:
    """What a reply code with its enhanced code means, in few words."""
    code, _, enhanced = codes.partition(" ")
    return sentence(Reply(int(code), enhanced, ""), page.language) if code.isdecimal() else ""


async def _metrics(request: Request) -> Response:
    """The text format of Prometheus; a daemon that does not answer is an error, so that the scrape fails."""
    page = request.scope["posthouse.console"].page_request(request)
    return Response(exposition(await page.run("monitor metrics")), headers={"content-type": CONTENT_TYPE})


ROUTES: Final = (Page("/overview", _show), Route("/metrics", _metrics))
NAV: Final = (NavEntry("/overview", "overview.title", "queue", 10),)
