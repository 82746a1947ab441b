"""``posthouse queue`` and ``posthouse explain`` on a spool on disk, without a daemon and with one."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, AttemptTrace, ConnectionTrace, Envelope, Outcome, Recipient, Reply, Result
from posthouse.service import Daemon, parse
from posthouse.spool import RecipientState, Settlement, SqliteSpool
from posthouse.spool.history import Origin

REPLY = Reply(451, "4.7.1", "come again; no such greylist")
TRACE = AttemptTrace(
    0.0,
    "mx.far.test",
    "far.test",
    "no route",
    (ConnectionTrace("192.0.2.7:25", "mx.far.test", lines=("S: EHLO x\x1b[2J",)),),
)


class Spool:
    """A spool with two messages: one to two people at far.test, tried once, and one to near.test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "posthouse.toml"
        self.text = f'hostname = "mx.here.test"\ndata_dir = "{directory}/data"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        self.config.write_text(self.text)
        self.ids: list[str] = []
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        queue = SqliteSpool(self.directory / "data")
        import time

        now = time.time()
        await queue.open(now)
        try:
            for people in (("bob@far.test", "zoe@far.test"), ("eve@near.test",)):
                receipt = queue.receive()
                receipt.write(b"Subject: x\r\n\r\nhello\r\n")
                recipients = tuple(Recipient(Address(*each.split("@"))) for each in people)
                await receipt.commit(
                    Envelope(Address("me", "here.test"), recipients),
                    [each.address.domain for each in recipients],
                    received=now,
                    due=now + 3600,
                    source="mx 192.0.2.1:1",
                    arrival=Origin(f"<{len(self.ids)}@here.test>"),
                )
                self.ids.append(receipt.id)
            for work in await queue.lease("w", now + 3601, now + 4000, limit=10, wanted=("far.test",)):
                ends = [
                    Settlement(
                        each.key,
                        RecipientState.WAITING,
                        now + 3600,
                        Outcome(each.recipient, Result.DEFERRED, REPLY, f"it said {REPLY}"),
                        "because",
                    )
                    for each in work.recipients
                ]
                await queue.record(work, ends, trace=TRACE)
        finally:
            await queue.close()


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Spool(tmp_path)


@pytest.fixture(params=["stopped", "running"])
def place(request: pytest.FixtureRequest, spool: Spool, monkeypatch: pytest.MonkeyPatch, ran) -> Iterator[Spool]:
    """The spool, stopped or behind a daemon; its configuration is the environment's."""
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(spool.config))
    if request.param == "stopped":
        yield spool
        return
    ready, ended = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    async def serve() -> None:
        daemon = Daemon(parse(spool.text), log=lambda event, /, **fields: None, control=True)
        await daemon.start()
        ready.set()
        try:
            while not ended.is_set():
                await asyncio.sleep(0.01)
        finally:
            await daemon.drain(5.0)

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            faults.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    yield spool
    ended.set()
    thread.join(60)
    assert faults == []


def found(ran, *arguments: str) -> Any:
    got = ran(*arguments, "--json")
    assert got.code == 0
    assert not got.err or got.err.startswith("… and ")
    return json.loads(got.out)


def test_looking(ran, place: Spool) -> None:
    lines = ran("queue", "list").out.splitlines()
    assert lines[0].split() == ["ID", "RECEIVED", "SIZE", "FROM", "TO", "STATE", "TRIES", "NEXT", "LAST"]
    assert [line.split()[0] for line in lines[1:]] == place.ids
    assert "bob@far.test +1" in lines[1]
    assert "deferred" in lines[1]
    assert [each["id"] for each in found(ran, "queue", "list", "attempts:0")] == place.ids[1:]
    assert [each["id"] for each in found(ran, "queue", "list", "--limit", "1")] == place.ids[1:]
    for arguments in ([], ["--json"]):
        said = ran("queue", "list", "--limit", "1", *arguments).err
        assert said == "… and 2 older recipients; --limit NUMBER shows more\n"
    assert "No match." in ran("queue", "list", "domain:x.test").err + ran("queue", "list", "age>1w").out
    lines = ran("queue", "summary").out.splitlines()
    assert lines[0].split() == ["DESTINATION", "ALL", "<5m", "<1h", "<4h", "<1d", "<5d", "OLDER", "HELD", "OLDEST"]
    assert lines[1].split()[:3] == ["far.test", "2", "2"]
    assert lines[-1] == "3 recipients for 2 destinations"
    assert ran("queue", "count", "domain:far.test").out == "2 recipients for far.test (2)\n"
    assert found(ran, "queue", "show", place.ids[1])["recipients"][0]["address"] == "eve@near.test"


@pytest.mark.parametrize("columns", [80, 40, 10])
def test_narrow_terminals_get_blocks_in_which_no_id_is_broken(
    ran, spool: Spool, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("posthouse.cli.output.terminal_width", lambda: columns)
    config = ["--config", str(spool.config)]
    lines = ran("queue", "list", *config).out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == spool.ids
    words = " ".join(lines).split()
    assert {"bob@far.test", "eve@near.test", "me@here.test", "deferred", "greylist"} <= set(words)
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines if columns > 10)
    assert len(lines) <= {80: 10, 40: 24, 10: 60}[columns]
    if columns < 80:
        for command in (["queue", "show", spool.ids[0]], ["queue", "summary"], ["explain", "me@here.test"]):
            lines = ran(*command, *config).out.splitlines()
            assert any(line in ("bob@far.test", "far.test", spool.ids[0]) for line in lines)


def test_the_last_result_names_a_host_and_a_reply_once() -> None:
    from posthouse.spool.sqlite.rows import in_words

    recipient = Recipient(Address("bob", "far.test"))
    for peer, reason, reply, wanted in (
        ("", f"it said {REPLY}", REPLY, f"it said {REPLY}"),
        ("mx.far.test[192.0.2.7]:25", "mx.far.test said: no", REPLY, f"mx.far.test said: no: {REPLY}"),
        ("192.0.2.7:25", "", REPLY, f"192.0.2.7:25: {REPLY}"),
        ("[2001:db8::1]:25", "", REPLY, f"[2001:db8::1]:25: {REPLY}"),
        ("", "", None, "deferred"),
    ):
        assert in_words(Outcome(recipient, Result.DEFERRED, reply, reason, peer)) == wanted


@pytest.mark.parametrize(
    "words",
    [
        ["domain:far.test", "to:bob@far.test"],
        ["domain:far.test to:bob@far.test"],
        ["reply~no such", "to:bob*"],  # the shell has taken the quotation marks away
        ['reply~"no such"', "to:bob*"],
    ],
)
def test_how_filters_are_written(ran, spool: Spool, words: list[str]) -> None:
    (entry,) = found(ran, "queue", "list", "--config", str(spool.config), *words)
    assert entry["recipients"] == ["bob@far.test"]


def test_a_mistake_is_shown_where_it_stands(ran, spool: Spool) -> None:
    got = ran("queue", "list", "--config", str(spool.config), "to:例@x", "sate:held")
    assert got.code == 64
    sentence, filter_, mark = got.err.splitlines()
    assert 'did you mean "state", as in state:deferred?' in sentence
    assert filter_ == "  to:例@x sate:held"
    assert mark == " " * 10 + "^"  # the Chinese sign takes two columns


def test_changing_asks_first(ran, place: Spool) -> None:
    got = ran("queue", "hold", "domain:far.test")
    assert (got.code, got.out) == (64, "")
    assert got.err == "posthouse: this would hold 2 recipients for far.test (2); add --yes to do it\n"
    assert found(ran, "queue", "list", "state:held") == []
    assert ran("queue", "hold", "domain:far.test", "--yes").out == "2 recipients held.\n"
    assert len(found(ran, "queue", "list", "state:held")) == 1
    assert found(ran, "queue", "release", "--all", "--yes")["recipients"] == 2
    assert ran("queue", "reroute", "--via", "smtp://192.0.2.1", "to:eve*", "--yes").out == "1 recipient rerouted.\n"
    assert ran("queue", "drop", "state:failed", "--yes").out == "No match.\n"
    audit = found(ran, "queue", "audit")
    assert [(each["act"], each["recipients"]) for each in audit] == [
        ("drop", 0),
        ("reroute", 1),
        ("release", 2),
        ("hold", 2),
    ]
    assert all("uid" in each["who"] for each in audit)
    got = ran("queue", "audit", "--limit", "3")
    assert len(got.out.splitlines()) == 4
    assert got.err == "… and older ones; --limit NUMBER shows more\n"
    assert ran("queue", "audit", "--limit", "4").err == ""
    assert ran("queue", "audit").out.splitlines()[2].split()[-1] == "smtp://192.0.2.1:25"


@pytest.mark.parametrize(("answer", "code", "held"), [("y\n", 0, 2), ("n\n", 64, 0), ("", 130, 0)])
def test_a_person_is_asked(
    ran, spool: Spool, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, held: int
) -> None:
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    got = ran("queue", "hold", "--config", str(spool.config), "domain:far.test")
    assert got.code == code
    assert "Hold 2 recipients for far.test (2)?" in got.err
    config = ["--config", str(spool.config)]
    assert json.loads(ran("queue", "count", *config, "state:held", "--json").out)["recipients"] == held


def test_a_story(ran, place: Spool) -> None:
    text = ran("explain", place.ids[0], "--transcript").out
    assert "accepted from mx 192.0.2.1:1" in text
    assert "bob@far.test, zoe@far.test: deferred, 451 4.7.1 come again" in text
    assert "S: EHLO x" in text
    assert "\x1b" not in text
    assert "S: EHLO" not in ran("explain", place.ids[0]).out
    assert "接收自" in ran("explain", place.ids[0], "--lang", "zh").out
    whole = found(ran, "explain", "<0@here.test>")
    assert (whole["kind"], whole["message"]["id"]) == ("message", place.ids[0])
    assert whole["message"]["events"][0]["connections"][0]["lines"] == ["S: EHLO x\x1b[2J"]
    got = ran("explain", "72jhzb4zx8tbr")
    assert (got.code, got.out) == (65, "")
    assert "[spool] history" in got.err


def test_a_dry_run(ran, place: Spool) -> None:
    text = ran("explain", "bob@[192.0.2.1]").out
    assert "bob@[192.0.2.1]: goes by smtp to [192.0.2.1]" in text
    assert "A message would be tried at once at [192.0.2.1]." in text
    text = ran("explain", "postmaster@mx.here.test").out
    assert "A message would be delivered at once." in text
    assert "Messages from it" not in text


def test_a_dry_run_needs_no_spool(ran) -> None:
    got = ran("explain", "bob@[192.0.2.1]")
    assert got.code == 0
    assert "kept in" not in got.err


@pytest.mark.parametrize("page", ["help", "manual"])
def test_the_language_is_explained_by_conditions_that_work(ran, page: str) -> None:
    from posthouse.service.operations.filter_language import fields_help, parse_filter

    if page == "help":
        lines = [line for line in ran("queue", "--help").out.splitlines() if re.match(r" +[a-z]+[:<>~][^ ]", line)]
        examples = [line.split()[0] for line in lines]
    else:
        text = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8").partition("### Filters")[2]
        examples = re.findall(r"\| `([^`]*)` \|$", text.partition("\n## ")[0], re.MULTILINE)
    assert [parse_filter(each)[0].field for each in examples] == [name for name, _, _ in fields_help()]


def test_looking_without_a_daemon_makes_no_daemon(spool: Spool) -> None:
    """The spool is opened, and nothing of the relay, the server or the DNS imported."""
    script = (
        "import sys; from posthouse.cli import main; "
        f"code = main(['queue', 'count', '--config', {str(spool.config)!r}]); "
        "code = code or main(['explain', sys.argv[1], '--config', " + repr(str(spool.config)) + "]); "
        "print(code, sorted({name.split('.')[1] for name in sys.modules if name.startswith('posthouse.')}), "
        "[name for name in ('dns', 'email', 'posthouse.service.daemon.daemon') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, spool.ids[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rooms = ["cli", "client", "codes", "core", "net", "protocol", "service", "spool"]
    assert done.stdout.splitlines()[-1] == f"0 {rooms} []"


def test_a_broken_configuration_is_told_when_no_daemon_can_be_asked(ran, place: Spool, request) -> None:
    place.config.write_text(place.text + "[relay]\nmax_hosp = 20\n")
    got = ran("queue", "count")
    if "running" in request.node.callspec.id:
        assert (got.code, got.out) == (0, "3 recipients for far.test (2), near.test (1)\n")
    else:
        assert got.code == 78
        assert 'did you mean "max_hops"?' in got.err


@pytest.mark.parametrize("line", ['data_dri = "{}/data"', "data_dir = 7", "data_dir = ["])
def test_a_broken_data_dir_never_leads_to_the_default_directory(ran, place: Spool, line: str) -> None:
    place.config.write_text(line.format(place.directory) + "\n")
    got = ran("queue", "count")
    assert got.code == 78
    assert place.config.name in got.err


def test_a_retry_and_a_reroute_are_undone(ran, place: Spool) -> None:
    got = ran("queue", "retry", "to:*@far.test", "--yes", "--undo-for", "10m")
    assert "recipients due now.\n`posthouse queue undo 1` undoes it until " in got.out
    assert "held" not in got.out
    assert ran("queue", "undo").out.endswith(" waiting as before.\n")
    ran("queue", "hold", "all", "--yes")  # so that a daemon that runs tries none
    got = ran("queue", "reroute", "--via", "smtp://192.0.2.1", "all", "--yes", "--undo-for", "10m")
    assert "rerouted.\n`posthouse queue undo " in got.out
    assert ran("queue", "undo").out.endswith(" waiting as before.\n")
    assert "192.0.2.1" not in ran("queue", "list", "--json").out


def test_a_drop_is_undone(ran, place: Spool) -> None:
    got = ran("queue", "drop", "domain:far.test", "--yes", "--undo-for", "10m")
    assert got.out.startswith("2 recipients to be dropped.\n`posthouse queue undo 1` undoes it until ")
    assert "; until then it is held." in got.out
    assert "drop" in ran("queue", "undoable").out
    assert [each["recipients"] for each in json.loads(ran("queue", "undoable", "--json").out)["actions"]] == [2]
    assert ran("queue", "undo").out == "2 recipients released.\n"
    assert "Nothing can be undone." in ran("queue", "undoable").err
    got = ran("queue", "undo", "1")
    assert got.code != 0
    assert "action 1 cannot be undone any more; nothing can be undone" in got.err
    assert "is no time for undoing" in ran("queue", "drop", "domain:far.test", "--yes", "--undo-for", "x").err
