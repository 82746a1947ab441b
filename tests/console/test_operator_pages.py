"""The operator's pages: overview, metrics, queue, history, sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from posthouse.console.charts import Curve, bar, course, spark, time_line
from posthouse.console.dialogue_view import diagram
from posthouse.console.rendering import duration
from posthouse.core import Address, AttemptTrace, ConnectionTrace, Envelope, Outcome, Recipient, Reply, Result
from posthouse.net import Endpoint
from posthouse.server import Server
from posthouse.service.monitor.count_history import CountSample
from posthouse.spool.history import Origin
from posthouse.spool.interface import RecipientState, Settlement

from .conftest import CONFIG, ConsoleHarness

SCRIPT = "<script>alert(1)</script>"


class Filled:
    """A console with mail in the queue: ``ids`` by destination."""

    def __init__(self, harness: ConsoleHarness) -> None:
        self.harness = harness
        self.client = harness.client
        self.ids: dict[str, str] = {}
        for number, (name, age) in enumerate((("far.test", 100.0), ("slow.test", 7_200.0), ("old.test", 600_000.0))):
            self.ids[name] = harness.run(self._store, f"bob{number}", name, age)
        harness.run(self._attempt, "slow.test")

    async def _store(self, local: str, name: str, age: float) -> str:
        now = self.harness.clock.time()
        receipt = self.harness.spool.receive()
        receipt.write(b"Subject: x\r\n\r\nhello\r\n")
        envelope = Envelope(Address("ann", "here.test"), (Recipient(Address(local, name)),))
        await receipt.commit(
            envelope,
            [name],
            received=now - age,
            due=now - age,
            source="mx 192.0.2.1:40000",
            arrival=Origin("<a@here.test>", helo=SCRIPT),
        )
        return receipt.id

    async def _attempt(self, name: str) -> None:
        now = self.harness.clock.time()
        reply = Reply(450, "4.7.1", f"Greylisted {SCRIPT}")
        lines = ("R: 220 mx.slow.test", "S: EHLO mx.here.test", "R: 250 mx.slow.test", f"R: 450 4.7.1 {SCRIPT}")
        trace = AttemptTrace(now - 1, name, name, "MX", (ConnectionTrace("192.0.2.7:25", "mx.slow.test", lines=lines),))
        for lease in await self.harness.spool.lease("w", now, now + 60, limit=100, wanted=[name]):
            ends = [
                Settlement(
                    each.key,
                    RecipientState.WAITING,
                    now + 900,
                    Outcome(each.recipient, Result.DEFERRED, reply, "said so", "192.0.2.7:25"),
                    "the schedule",
                )
                for each in lease.recipients
            ]
            await self.harness.spool.record(lease, ends, trace=trace)

    def post(self, path: str, **fields: Any) -> Any:
        """Post a form as a browser does, with the token of the page."""
        [token] = set(re.findall(r'name="csrf" value="([0-9a-f]{64})"', self.client.get("/queue").text))
        return self.client.post(path, data={"csrf": token, **fields})


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ConsoleHarness]:
    with ConsoleHarness(f'data_dir = "{tmp_path}"\n{CONFIG}') as made:
        yield made
        assert made.faults == []


@pytest.fixture
def filled(harness: ConsoleHarness) -> Filled:
    return Filled(harness)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("path", ["/overview", "/overview?span=day", "/queue", "/queue/audit", "/sessions"])
def test_every_page_opens_and_has_its_data_as_json(filled: Filled, path: str, lang: str) -> None:
    joint = "&" if "?" in path else "?"
    shown = filled.client.get(f"{path}{joint}lang={lang}")
    assert shown.status_code == 200
    assert f'lang="{"zh-CN" if lang == "zh" else "en"}"' in shown.text
    assert SCRIPT not in shown.text
    plain, _, query = path.partition("?")
    assert filled.client.get(f"{plain}.json?{query}").headers["content-type"] == "application/json"


def test_the_overview_draws_what_happened(filled: Filled) -> None:
    monitor = filled.harness.daemon.monitor
    monitor.tally.refused("RCPT", Reply(550, "5.1.1", "No such mailbox"))
    now = filled.harness.clock.time()
    zero = dict.fromkeys(monitor.tally.totals(), 0)
    for number in range(10):
        monitor.history.hour.append(CountSample(now + 10 * number, {**zero, "accepted": number * 50}))
    text = filled.client.get("/overview").text
    assert '<polyline class="curve curve-accepted"' in text
    assert "550 5.1.1" in text
    assert '<span data-testid="rate-accepted">5.0</span>' in text
    found = filled.client.get("/overview.json").json()
    assert found["queue"]["waiting"] == 3
    assert found["hour"]["rates"]["accepted"] == [5.0] * 9


def test_metrics_are_for_prometheus(client: TestClient) -> None:
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'posthouse_queue_recipients{state="waiting"} 0.0' in found.text
    assert "python_info" not in found.text
    assert "process_" not in found.text


# The queue ------------------------------------------------------------------------------------------------------------


def test_a_cell_of_the_heat_map_selects_its_messages(filled: Filled) -> None:
    text = filled.client.get("/queue").text
    links = re.findall(r'<td class="num heat-[1-6]"><a href="([^"]+)">(\d+)</a>', text)
    assert len(links) == 3
    for link, number in links:
        chosen = filled.client.get(link.replace("&amp;", "&").replace("/queue?", "/queue.json?")).json()
        assert len(chosen["messages"]) == int(number) == 1


def test_the_page_says_why_mail_waits(filled: Filled) -> None:
    text = filled.client.get("/queue?q=domain:slow.test").text
    assert "Greylisted &lt;script&gt;" in text
    assert "queue hold" not in text
    assert filled.ids["slow.test"] in text
    assert filled.ids["far.test"] not in text
    wrong = filled.client.get("/queue?q=nonsense")
    assert wrong.status_code == 400
    assert "is no condition" in wrong.text


def test_an_action_is_counted_confirmed_done_and_undone(filled: Filled) -> None:
    queue_id = filled.ids["far.test"]
    asked = filled.post("/queue/act", act="hold", id=queue_id, filter="all")
    assert asked.status_code == 200
    assert "Hold 1 recipient?" in asked.text
    assert filled.client.get("/queue.json?q=state:held").json()["messages"] == []
    done = filled.post("/queue/act", act="hold", id=queue_id, filter="", confirm="1")
    assert done.status_code == 303
    after = filled.client.get(done.headers["location"]).text
    assert "1 recipient is held." in after
    assert 'data-testid="undo"' in after
    assert len(filled.client.get("/queue.json?q=state:held").json()["messages"]) == 1
    (entry,) = filled.client.get("/queue.json").json()["undoable"]
    assert (entry["act"], entry["recipients"], entry["who"]) == ("hold", 1, "console")
    undone = filled.post("/queue/undo", number=entry["number"])
    assert undone.status_code == 303
    assert filled.client.get("/queue.json").json()["undoable"] == []
    assert filled.client.get("/queue.json?q=state:held").json()["messages"] == []
    acts = filled.client.get("/queue/audit.json").json()
    assert [(each["act"], each["who"]) for each in acts] == [("undo hold", "console"), ("hold", "console")]


def test_mail_to_give_up_is_held_until_it_cannot_be_undone(filled: Filled) -> None:
    asked = filled.post("/queue/act", act="drop", filter="age>1h", everything="1", id=filled.ids["far.test"])
    assert "Give up 2 recipients?" in asked.text
    assert "It can be undone for 10 minutes" in asked.text
    done = filled.post("/queue/act", act="drop", filter="age>1h", confirm="1")
    assert done.status_code == 303
    states = {each["id"]: each["held"] for each in filled.client.get("/queue.json").json()["messages"]}
    assert states == {filled.ids["far.test"]: 0, filled.ids["slow.test"]: 1, filled.ids["old.test"]: 1}
    (entry,) = filled.client.get("/queue.json").json()["undoable"]
    assert filled.post("/queue/undo", number=entry["number"]).status_code == 303
    assert filled.client.get("/queue.json?q=state:held").json()["messages"] == []
    assert filled.post("/queue/undo", number=entry["number"]).status_code == 400
    assert filled.post("/queue/undo", number="x").status_code == 400


@pytest.mark.parametrize(("act", "more"), [("retry", {}), ("reroute", {"via": "smtp://192.0.2.5:25"})])
def test_mail_to_try_or_to_reroute_waits_as_before_when_that_is_undone(
    filled: Filled, act: str, more: dict[str, str]
) -> None:
    def waits() -> list[tuple[Any, Any]]:
        found = filled.client.get("/queue.json").json()["messages"]
        return [(each["id"], each["next"]["at"]) for each in found]

    before = waits()
    asked = filled.post("/queue/act", act=act, filter="all", **more)
    assert "for mail whose attempt has not begun" in asked.text
    filled.post("/queue/act", act=act, filter="all", confirm="1", **more)
    assert waits() != before
    (entry,) = filled.client.get("/queue.json").json()["undoable"]
    assert (entry["act"], entry["recipients"]) == (act, 3)
    assert "已撤销" not in filled.client.get("/queue?lang=zh").text
    assert {"retry": "要求立即重试 3", "reroute": "改设了路由"}[act] in filled.client.get("/queue?lang=zh").text
    assert filled.post("/queue/undo", number=entry["number"]).status_code == 303
    assert waits() == before


def test_mail_is_given_up_at_once_if_that_is_asked_for(filled: Filled) -> None:
    filled.post("/queue/act", act="drop", filter="age>1h", confirm="1", final="1")
    found = filled.client.get("/queue.json").json()
    assert [each["id"] for each in found["messages"]] == [filled.ids["far.test"]]
    assert found["undoable"] == []


def test_a_program_acts_with_json(filled: Filled) -> None:
    counted = filled.client.post("/queue/act", json={"act": "hold", "filter": "all"}).json()
    assert (counted["act"], counted["recipients"]) == ("hold", 3)
    changed = filled.client.post("/queue/act", json={"act": "hold", "filter": "all", "confirm": True}).json()
    assert changed["recipients"] == 3
    ids = list(filled.ids.values())[:2]
    changed = filled.client.post("/queue/act", json={"act": "release", "id": ids, "confirm": True}).json()
    assert changed["recipients"] == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"act": "flush", "filter": "all"}, "there is no action"),
        ({"act": "drop", "filter": ""}, "choose messages"),
        ({"act": "hold", "filter": "nonsense", "confirm": "1"}, "is no condition"),
        ({"act": "reroute", "filter": "all", "via": "nowhere at all", "confirm": "1"}, "via"),
        ({"act": "hold", "id": ["x"] * 501}, "at most 500"),
    ],
)
def test_an_action_that_is_wrong_changes_nothing(filled: Filled, fields: dict[str, Any], words: str) -> None:
    refused = filled.post("/queue/act", **fields)
    assert refused.status_code == 400
    assert words in refused.text
    assert filled.client.get("/queue/audit.json").json() == []


def test_a_destination_is_paused_and_resumed(filled: Filled) -> None:
    done = filled.post("/queue/pause", destination="far.test", duration="1h", why="they <b>move</b>")
    assert done.status_code == 303
    shown = filled.client.get("/queue").text
    assert "far.test is paused." in shown
    assert "they &lt;b&gt;move&lt;/b&gt;" in shown
    (message,) = filled.client.get("/queue.json?q=domain:far.test").json()["messages"]
    assert message["next"]["state"] == "paused"
    assert "destination is paused" in filled.client.get(f"/history/{message['id']}").text
    assert "该目的域已被暂停" in filled.client.get(f"/history/{message['id']}?lang=zh").text
    assert filled.post("/queue/resume", destination="far.test").status_code == 303
    assert filled.client.get("/queue.json").json()["pauses"] == []
    assert filled.post("/queue/pause", destination="no domain").status_code == 400


# History and sessions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "words"), [("en", "greylist"), ("zh", "发送SMTP")])
def test_a_history_has_each_attempt_with_its_dialogue(filled: Filled, lang: str, words: str) -> None:
    queue_id = filled.ids["slow.test"]
    text = filled.client.get(f"/history/{queue_id}?lang={lang}").text
    assert text.count('<li class="step') == 2
    assert "S: EHLO" not in text
    assert "<code>EHLO mx.here.test</code>" in text
    assert words.lower() in text.lower()
    assert SCRIPT not in text
    assert filled.client.get(f"/history/{queue_id}.json").json()["id"] == queue_id


def test_a_history_of_nothing(filled: Filled) -> None:
    assert filled.client.get("/history/0000000000000").status_code in (400, 404)
    assert filled.client.get("/history/550").status_code == 404


def test_a_session_is_a_diagram(harness: ConsoleHarness) -> None:
    book = harness.daemon.monitor.sessions
    made = Server(lambda peer: None, network=None, clock=harness.clock, hostname="x")  # type: ignore[arg-type,return-value]
    session = made.session()
    book.joined("mx", session)  # type: ignore[arg-type]
    record = book.find(1)
    assert record is not None
    for who, text in (
        ("R", "220 mx.here.test ESMTP"),
        ("S", "EHLO client.test"),
        ("R", "250 mx.here.test"),
        ("S", f"MAIL FROM:<{SCRIPT}>"),
        ("R", "553 5.1.7 Sender's address is wrong"),
    ):
        record.take(harness.clock.time(), who, text)
    listed = harness.client.get("/sessions").text
    assert "in0.1" in listed
    text = harness.client.get("/sessions/in0.1").text
    assert "who-R kind-bad" in text
    assert SCRIPT not in text
    assert 'data-renew="1"' in text
    book.left(session)  # type: ignore[arg-type]
    text = harness.client.get("/sessions/in0.1?lang=zh").text
    assert "data-renew=" not in text
    assert "接收SMTP" in text
    assert harness.client.get("/sessions.json?show=failures").json()["sessions"][0]["id"] == "in0.1"
    assert harness.client.get("/sessions/in0.99").status_code == 400


def test_a_history_leads_to_the_session_by_which_its_message_came(filled: Filled) -> None:
    history = filled.client.get(f"/history/{filled.ids['far.test']}?lang=zh").text
    assert "送来此邮件的会话" in history
    (address,) = re.findall(r'href="([^"]+)" data-testid="brought-by"', history)
    assert "没有保留该会话的记录" in filled.client.get(f"{address}&lang=zh").text
    book = filled.harness.daemon.monitor.sessions
    made = Server(lambda peer: None, network=None, clock=filled.harness.clock, hostname="x")  # type: ignore[arg-type,return-value]
    sessions = [made.session(), made.session()]
    for session in sessions:
        book.joined("mx", session)  # type: ignore[arg-type]
    record = book.find(2)
    assert record is not None
    record.peer = Endpoint("192.0.2.1", 40000)
    shown = filled.client.get(f"{address}&lang=en").text
    assert re.findall(r'data-testid="session"><code>([^<]+)', shown) == ["in0.2"]
    assert "The session by which a message came from mx 192.0.2.1:40000." in shown
    assert filled.client.get("/sessions?source=x").status_code == 400


def test_tls_is_a_band_from_starttls_on() -> None:
    lines = [(0.0, "R", "220 x"), (0.1, "S", "STARTTLS"), (0.2, "R", "220 2.0.0 Go"), (3.2, "S", "EHLO y")]
    found = diagram(lines, "en", tls="TLSv1.3")
    assert [line.tls for line in found] == [False, False, False, True]
    assert found[3].tls_begins
    assert found[3].slow
    assert all(line.tls for line in diagram(lines[:1], "en", tls="TLSv1.3"))  # implicit
    refused = diagram([(None, "S", "STARTTLS"), (None, "R", "454 no"), (None, "S", "EHLO y")], "en")
    assert [line.tls for line in refused] == [False, False, False]


# Plots ----------------------------------------------------------------------------------------------------------------


def test_plots_are_drawn_and_bounded() -> None:
    times = [1_800_000_000.0 + 10 * number for number in range(360)]
    drawn = str(course(times, [Curve("accepted", SCRIPT, [float(number) for number in range(360)])], "label"))
    assert drawn.count("<polyline") == 1
    assert "script>" not in drawn.replace("&lt;script&gt;", "").replace("&lt;/script&gt;", "")
    assert len(re.findall("text-anchor=.middle.", drawn)) <= 9
    assert course(times[:1], [], "label") == ""
    assert spark([1.0], "x") == ""
    assert 'width="0"' in bar(-1.0)
    assert 'width="100"' in bar(7.0)
    assert 'width="0"' in bar(float("nan"))
    assert "15 分钟" in time_line([1.0], "label", "zh")
    events = str(time_line([-5.0, 0.0, 60.0, 1e9], "label"))
    assert events.count('class="event"') == 3


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.34, "340 ms", "340 毫秒"),
        (12, "12 s", "12 秒"),
        (3_599.4, "59 min", "59 分钟"),
        (12_000, "3 h 20 min", "3 小时 20 分钟"),
        (483_000, "5 d 14 h", "5 天 14 小时"),
    ],
)
def test_durations_have_the_units_of_the_language(seconds: float, english: str, chinese: str) -> None:
    assert (duration(seconds), duration(seconds, "zh")) == (english, chinese)


def test_a_chinese_page_has_chinese_durations(filled: Filled) -> None:
    page = filled.client.get("/queue?lang=zh").text
    assert re.search(r"\d (秒|分钟|小时|天)", page)
    assert not re.search(r">\s*[<+]?\s*\d+ (s|min|h|d|ms)\b", page)


def test_notes_of_a_session_are_chinese_on_a_chinese_page(harness: ConsoleHarness) -> None:
    book = harness.daemon.monitor.sessions
    made = Server(lambda peer: None, network=None, clock=harness.clock, hostname="x")  # type: ignore[arg-type,return-value]
    sessions = [made.session(), made.session()]
    for session in sessions:
        book.joined("mx", session)  # type: ignore[arg-type]
    gone, refused = book.find(1), book.find(2)
    assert gone is not None
    assert refused is not None
    for record in (gone, refused):
        record.take(harness.clock.time(), "R", "220 mx.here.test ESMTP")
    refused.take(harness.clock.time(), "R", "550 5.1.1 Mailbox does not exist")
    refused.take(harness.clock.time(), "N", "RCPT: no such name in a domain of ours")
    for session in sessions:
        book.left(session)  # type: ignore[arg-type]
    listed = harness.client.get("/sessions?lang=zh").text
    assert "客户端没有发出 QUIT 就断开了连接</td>" in listed
    (title,) = re.findall(
        r'class="problem" title="([^"]+)"><span lang="en">550 5.1.1 Mailbox does not exist</span>', listed
    )
    assert not title.isascii()
    one = harness.client.get("/sessions/in0.2?lang=zh").text
    assert '<p class="note">RCPT：该域由本机负责，但没有这个邮箱</p>' in one
    assert "without QUIT</td>" in harness.client.get("/sessions?lang=en").text
    assert harness.client.get("/sessions/in0.1.json").json()["session"]["problem"].endswith("without QUIT")


def test_the_last_result_of_waiting_mail_is_chinese_on_a_chinese_page(filled: Filled) -> None:
    async def refused() -> None:
        now = filled.harness.clock.time()
        reason = "tried the configured host: 192.0.2.1:25 refused the connection"
        reply = Reply(451, "4.4.1", "no host answered")
        trace = AttemptTrace(now - 1, "far.test", "far.test", "MX", ())
        for lease in await filled.harness.spool.lease("w", now, now + 60, limit=100, wanted=["far.test"]):
            (each,) = lease.recipients
            outcome = Outcome(each.recipient, Result.DEFERRED, reply, reason)
            end = Settlement(each.key, RecipientState.WAITING, now + 900, outcome, "the schedule")
            await filled.harness.spool.record(lease, [end], trace=trace)

    filled.harness.run(refused)
    page = filled.client.get("/queue?lang=zh").text
    assert "已尝试配置指定的主机：192.0.2.1:25 拒绝连接：451 4.4.1 没有主机应答" in page
    assert "refused the connection" not in page
    history = filled.client.get(f"/history/{filled.ids['far.test']}?lang=zh").text
    assert "451 4.4.1 没有主机应答（已尝试配置指定的主机：192.0.2.1:25 拒绝连接）" in history


def test_the_audit_log_names_actions_as_the_buttons_do(filled: Filled) -> None:
    filled.client.post("/queue/act", json={"act": "retry", "filter": "all", "confirm": True})
    filled.post("/queue/undo", number="1")
    for language, words in (("en", ["Undone: Try now", "Try now"]), ("zh", ["撤销：立即重试", "立即重试"])):
        page = filled.client.get(f"/queue/audit?lang={language}").text
        assert re.findall(r'<th scope="row">([^<]+)</th>', page) == words
