"""The overview and the metrics: the numbers of a daemon, of all its worker processes together."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from posthouse.service import OPERATIONS
from posthouse.service.monitor.count_history import EVERY, CountHistory, CountSample, rates
from posthouse.service.monitor.latency_histograms import BOUNDS, LatencyHistograms, quantile
from posthouse.service.operations.monitor.exposition import exposition
from posthouse.service.operations.monitor.metrics import METRIC_NAMES
from posthouse.service.operations.monitor.monitor_answers import OverviewReport, WorkerEntry
from posthouse.testing import ManualClock

from .test_sessions import TROUBLE, Client, daemon, do, ended, run

DASHBOARD = Path(__file__).parents[3] / "packaging" / "grafana" / "posthouse.json"
MANUAL = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_numbers_of_a_daemon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            for _ in range(3):
                assert (await client.send()).startswith("250")
            await client.say("MAIL FROM:<me@far.test>")
            await client.say(TROUBLE)
            await client.quit()
            await ended(made)
            await made.wait_idle()
            found: OverviewReport = await do(made, "monitor overview", peers=False)
            counts = found.counts
            assert (counts["accepted"], counts["delivered"], counts["refused"], counts["sessions"]) == (3, 3, 1, 1)
            assert counts["octets"] > 0
            assert [(each.command, each.codes[:3], each.count) for each in found.refusals] == [("RCPT", "550", 1)]
            commit = found.latencies[0]
            assert (commit.name, sum(commit.counts)) == ("commit", 3)
            assert commit.p50 is not None
            assert (found.queue.waiting, found.queue.oldest) == (0, None)
            assert found.storage.size > found.storage.free > 0
            assert found.storage.spool > 0
            assert [each.number for each in found.workers] == [0]
            assert msgspec.json.decode(msgspec.json.encode(found), type=OverviewReport) == found

    run(scenario)


def test_the_workers_are_asked_for_what_only_they_know(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            await client.send()
            await made.wait_idle()
            own: OverviewReport = await do(made, "monitor overview", peers=False)
            worker = WorkerEntry(number=1, pid=4711, began=own.began, sessions=5, attempts=2)
            other = msgspec.structs.replace(own, workers=[worker])

            async def peers(operation: object, given: object) -> list[OverviewReport]:
                return [other] if getattr(operation, "name", "") == "monitor overview" else []

            found = await OPERATIONS["monitor overview"].run(made.context()._replace(peers=peers))
            assert [(each.number, each.sessions) for each in found.workers] == [(0, 1), (1, 5)]
            assert found.counts["accepted"] == 1  # shared memory has those of all
            assert sum(found.latencies[0].counts) == 2
            assert found.destinations[0].delivered == 2
            await client.quit()

    run(scenario)


def test_the_metrics_are_those_of_the_manual_and_prometheus_reads_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            await client.send()
            await client.say("MAIL FROM:<me@far.test>")
            await client.say(TROUBLE)
            report = await do(made, "monitor metrics")
            text = exposition(report).decode()
            read = {each.name: each for each in text_string_to_metric_families(text)}
            assert set(read) == set(METRIC_NAMES)
            for name, (kind, labels, _) in METRIC_NAMES.items():
                assert read[name].type == kind, name
                for sample in read[name].samples:
                    assert set(sample.labels) - {"le"} == set(labels), name
            (accepted,) = read["posthouse_messages_accepted"].samples
            assert (accepted.name, accepted.value) == ("posthouse_messages_accepted_total", 1.0)
            (refusal,) = read["posthouse_refusals"].samples
            assert refusal.labels["command"] == "RCPT"
            buckets = [each for each in read["posthouse_commit_seconds"].samples if each.name.endswith("_bucket")]
            assert (buckets[-1].labels["le"], buckets[-1].value) == ("+Inf", 1.0)
            await client.quit()

    run(scenario)


def test_every_metric_is_in_the_manual_and_no_other() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(posthouse_[a-z_]+?)(?:_total)?`", text, re.MULTILINE))
    assert named == set(METRIC_NAMES)


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    named = set(re.findall(r"posthouse_[a-z_]+?(?=_total|_bucket|[^a-z_]|$)", asked))
    assert named <= set(METRIC_NAMES)
    assert len(named) > 10


def test_the_history_is_bounded() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        count = 0

        def counts() -> dict[str, int]:
            nonlocal count
            count += 50
            return {"accepted": count}

        history = CountHistory(clock, counts)
        history.start()
        await clock.advance(9_000 * EVERY)
        assert (len(history.hour), len(history.day)) == (361, 289)
        assert history.hour[-1].at - history.hour[0].at == 3_600.0
        assert history.day[-1].at - history.day[0].at == 86_400.0
        assert set(rates(list(history.hour), "accepted")) == {5.0}
        history.stop()
        await clock.advance(EVERY)
        assert history.hour[-1].counts == {"accepted": count}

    asyncio.run(scenario())


def test_rates_never_fall_below_zero() -> None:
    samples = [
        CountSample(0.0, {"accepted": 10}),
        CountSample(10.0, {"accepted": 0}),
        CountSample(10.0, {"accepted": 1}),
    ]
    assert rates(samples, "accepted") == [0.0, 1000.0]
    assert rates(samples, "other") == [0.0, 0.0]


def test_latencies_fall_into_buckets() -> None:
    latencies = LatencyHistograms()
    for seconds in (-1.0, 0.002, 0.002, 10_000.0):
        latencies.add("commit", seconds)
    counts, total = latencies.of("commit")
    assert (counts[0], counts[1], counts[-1], sum(counts)) == (1, 2, 1, 4)
    assert total == 10_000.004
    assert (quantile(counts, 0.5), quantile(counts, 0.99)) == (0.0025, BOUNDS[-1])
    assert quantile([0] * len(counts), 0.5) is None
