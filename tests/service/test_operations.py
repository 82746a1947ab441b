"""The operations that need no running daemon, and what every operation has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.core import Address, Bytes, Recipient, Result, SettingError
from posthouse.relay import NoRoute, Route
from posthouse.service import OPERATIONS, context, parse
from posthouse.service.operations.filter_language import FilterError, parse_filter
from posthouse.service.operations.results import AddressReport, CodeEntry, ConfigReport

from .operation_harness import CONTENT, LATER, NEVER, TAKEN, OperationHarness, run

SETTINGS = """
hostname = "mx.example.org"
[[domain]]
name = "example.org"
deliver = "maildir:/mail/{domain}/{local}"
mailboxes = ["bob", "ann"]
paused = ["ann"]
aliases = { info = ["bob", "zoe@example.net"] }
moved = { eve = "eve@example.net" }
lists.team = { members = ["bob"], owner = "bob" }
[[domain]]
name = "gone.test"
moved = { tom = "tom@example.net" }
moved_action = "tell"
[[route]]
to = "*.example.net"
via = "smtp://127.0.0.1:2600"
"""


def do(name: str, text: str = SETTINGS, **parameters: Any) -> Any:
    async def run() -> Any:
        operation = OPERATIONS[name]
        return await operation.run(context(parse(text)) if operation.needs_context else None, **parameters)

    return asyncio.run(run())


def test_every_operation_says_what_it_does() -> None:
    for name, operation in OPERATIONS.items():
        assert operation.name == name
        assert operation.help.endswith(".")
        for parameter in operation.parameters:
            assert parameter.help.endswith(".")
            assert parameter.default is None or isinstance(parameter.default, parameter.kind)


@pytest.mark.parametrize(
    ("address", "kind", "reply", "ends"),
    [
        ("Bob@example.org", "mailbox", "250", [("Bob@example.org", "/mail/example.org/bob")]),
        ("ann@example.org", "mailbox", "450", []),
        ("nobody@example.org", "unknown", "550 5.1.1", []),
        ("x@sub.example.net", "foreign", "550 5.7.1", [("x@sub.example.net", "127.0.0.1:2600")]),
        ("x@other.test", "foreign", "550 5.7.1", [("x@other.test", "other.test")]),
        ("eve@example.org", "moved", "251", [("eve@example.net", "example.net")]),
        ("tom@gone.test", "moved", "551", []),
        (
            "info@example.org",
            "alias",
            "250",
            [("bob@example.org", "/mail/example.org/bob"), ("zoe@example.net", "example.net")],
        ),
        ("team@example.org", "list", "250", [("bob@example.org", "/mail/example.org/bob")]),
        ("<Postmaster>", "mailbox", "250", [("postmaster@example.org", "/mail/example.org/postmaster")]),
        ("postmaster@mx.example.org", "mailbox", "250", [("postmaster@mx.example.org",) * 2]),
    ],
)
def test_check_address(address: str, kind: str, reply: str, ends: list[tuple[str, str]]) -> None:
    report: AddressReport = do("check address", address=address)
    assert report.kind == kind
    assert report.reply.startswith(reply)
    assert [(each.recipient, each.target) for each in report.ends] == ends
    assert all(each.reason for each in report.ends)
    assert msgspec.json.decode(msgspec.json.encode(report), type=AddressReport) == report


def test_check_address_of_nonsense() -> None:
    with pytest.raises(SettingError, match="no mailbox"):
        do("check address", address="a b@c")


def test_check_config(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n{SETTINGS}')
    report: ConfigReport = do("check config", path=str(path))
    assert (report.usable, report.problems, report.advice, report.readable) == (True, [], [], True)
    path.write_text('hostname = "a b"\n[relay]\nmax_hop = 5')
    report = do("check config", path=str(path))
    assert not report.usable
    assert len(report.problems) == 2
    assert 'did you mean "max_hops"?' in report.problems[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[relay]\ntrusted_networks = ["0.0.0.0/0"]', "open relay"),
        ("[relay]\nmax_hops = 20", "100"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nmax_recipients = 5', "100"),
        ('[[listener]]\nbind = "127.0.0.1:1"\ncommand_timeout = "1m"', "5 minutes"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nkind = "submission"\nauth = "off"', "no host may submit"),
        ('hostname = "localhost"', "full name"),
    ],
)
def test_advice(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "posthouse.toml"
    path.write_text(text)
    report: ConfigReport = do("check config", path=str(path))
    assert report.usable
    assert any(words in each for each in report.advice)


def test_explain() -> None:
    entries: list[CodeEntry] = do("explain code", code="550 5.1.1 no such user").codes
    assert [each.code for each in entries] == ["550", "5.1.1"]
    assert all(each.meaning and each.whose and each.next_step for each in entries)
    assert do("explain code", code="550", lang="zh").codes[0].meaning != entries[0].meaning
    with pytest.raises(SettingError, match="no reply code"):
        do("explain code", code="999")


def test_a_spool_that_is_not_there(tmp_path: Path) -> None:
    """Looking at nothing creates nothing: it is empty, or says so."""
    text = f'data_dir = "{tmp_path}/none"'
    try:
        assert do("queue list", text) == []
    except SettingError as error:
        assert "none" in str(error)  # noqa: PT017 - either end is right
    assert not (tmp_path / "none").exists()


# The queue ------------------------------------------------------------------------------------------------------------


def test_a_list_by_filter() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        first = await desk.store("bob@far.test", "zoe@near.test")
        await desk.attempt(Result.DEFERRED, LATER, only="far.test")
        await desk.clock.advance(60)
        second = await desk.store("eve@far.test", sender="")
        entries = await desk.do("queue list")
        assert [each.id for each in entries] == [first, second]
        assert entries[0].recipients == ["bob@far.test", "zoe@near.test"]
        assert (entries[0].waiting, entries[0].attempts, entries[0].held, entries[0].active) == (2, 1, 0, False)
        assert "Greylisted" in entries[0].last
        assert entries[1].sender == ""
        assert [each.id for each in await desk.do("queue list", filter="from:<>")] == [second]
        (deferred,) = await desk.do("queue list", filter="state:deferred age>=1m")
        assert (deferred.id, deferred.recipients) == (first, ["bob@far.test"])
        assert await desk.do("queue list", filter='reply~"no such"') == []
        assert [each.id for each in await desk.do("queue list", limit=1)] == [second]
        assert [each.id for each in await desk.do("queue list", after=first)] == [second]
        with pytest.raises(FilterError, match="did you mean"):
            await desk.do("queue list", filter="sate:held")

    run(scenario)


def test_pages_meet_inside_a_message() -> None:
    """A message with more recipients than are asked for at one time is one entry, whole."""

    async def scenario() -> None:
        desk = await OperationHarness()
        many = [f"r{number}@far.test" for number in range(1200)]
        for _ in range(2):
            await desk.store(*many)
        entries = await desk.do("queue list")
        assert [each.recipients for each in entries] == [many, many]
        assert [each.recipients for each in await desk.do("queue list", limit=1)] == [many]

    run(scenario)


def test_a_summary_is_a_table_of_ages() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test", "b@far.test")
        await desk.clock.advance(7200)
        await desk.store("c@far.test", "d@near.test")
        await desk.do("queue hold", filter="to:d@near.test")
        found = await desk.do("queue summary")
        assert (found.recipients, found.others) == (4, 0)
        far, near = found.rows
        assert (far.destination, far.waiting, far.held) == ("far.test", 3, 0)
        assert len(far.ages) == len(found.ages) + 1
        assert [number for number in far.ages if number] == [1, 2]
        assert found.now - far.oldest == 7200
        assert (near.destination, near.waiting, near.held) == ("near.test", 0, 1)
        assert [row.destination for row in (await desk.do("queue summary", filter="state:held")).rows] == ["near.test"]
        assert (await desk.do("queue summary", limit=1)).others == 1

    run(scenario)


def test_an_act_changes_what_was_counted() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test", "b@near.test")
        await desk.attempt(Result.DEFERRED, LATER)
        for act, filter_, count, state in (
            ("hold", "domain:far.test", 1, "held"),
            ("hold", "age>=0", 1, "held"),
            ("hold", "age>=0", 0, "held"),
            ("release", "domain:near.test", 1, "waiting"),
            ("retry", "age>=0", 1, "waiting"),
            ("release", "age>=0", 1, "waiting"),
        ):
            counted = await desk.do("queue count", filter=filter_, act=act)
            changed = await desk.do(f"queue {act}", filter=filter_)
            assert (counted.recipients, changed.recipients) == (count, count), (act, filter_)
            assert (changed.act, changed.filter, changed.who) == (act, filter_, "ann (uid 1000)")
            if filter_ != "age>=0":
                assert all(row.state == state for row in await desk.queue.queries.select(parse_filter(filter_)))
        assert desk.reopened == [["near.test"], ["near.test"], ["far.test"]]
        audit = await desk.do("queue audit")
        assert [(each.act, each.recipients) for each in audit][:2] == [("release", 1), ("retry", 1)]
        assert all(each.who == "ann (uid 1000)" for each in audit)

    run(scenario)


def test_what_is_rerouted_goes_there() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test")
        assert (await desk.do("queue reroute", filter="domain:far.test", via="smtp://Relay.test")).recipients == 1
        (recipient,) = (await desk.do("queue show", id=queue_id)).recipients
        assert recipient.route == "smtp://relay.test:25"
        (waiting,) = (await desk.queue.queries.entry(queue_id)).recipients
        route = desk.daemon.router.route(waiting.recipient, waiting.route)
        assert isinstance(route, Route)
        assert route.target == "relay.test:25"
        await desk.do("queue reroute", filter="domain:far.test")
        assert (await desk.do("queue show", id=queue_id)).recipients[0].route == ""
        with pytest.raises(SettingError, match="is no route"):
            await desk.do("queue reroute", filter="domain:far.test", via="pigeon://relay")

    run(scenario)


def test_a_route_that_is_not_understood_keeps_the_mail() -> None:
    desk = OperationHarness()
    way = desk.daemon.router.route(Recipient(Address("a", "far.test")), "pigeon://x")
    assert isinstance(way, NoRoute)
    assert way.outcome.result is Result.DEFERRED
    mx = desk.daemon.router.route(Recipient(Address("a", "chosen.test")), "mx")
    assert isinstance(mx, Route)
    assert mx.target == "chosen.test"


def test_dropping_tells_the_sender_only_on_request() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test")
        await desk.store("b@far.test", sender="ann@here.test")
        assert (await desk.do("queue drop", filter="to:a@far.test")).recipients == 1
        assert (desk.woken, len(await desk.do("queue list"))) == (0, 1)
        assert (await desk.do("queue drop", filter="to:b@far.test", report=True)).recipients == 1
        (report,) = await desk.do("queue list")
        assert (report.sender, report.recipients, desk.woken) == ("", ["ann@here.test"], 1)

    run(scenario)


@pytest.mark.parametrize("filter_", ["all", " ALL ", "age>=0", "all state:waiting"])
@pytest.mark.parametrize("act", ["hold", "retry", "drop", "reroute"])
def test_all_has_mail_that_came_while_the_clock_was_ahead(act: str, filter_: str) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test", "b@near.test")
        desk.clock.set_calendar(desk.clock.time() - 400 * 86_400.0)
        assert (await desk.do("queue count", filter=filter_, act=act)).recipients == 2
        given = {"via": "smtp://192.0.2.1:25"} if act == "reroute" else {}
        assert (await desk.do(f"queue {act}", filter=filter_, **given)).recipients == 2

    run(scenario)


@pytest.mark.parametrize("act", ["hold", "release", "retry", "drop", "reroute"])
def test_nothing_is_not_everything(act: str) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test")
        with pytest.raises(SettingError, match="all means every message"):
            await desk.do(f"queue {act}", filter=" ")
        assert len(await desk.do("queue audit")) == 0

    run(scenario)


def test_an_act_that_is_none() -> None:
    async def scenario() -> None:
        with pytest.raises(SettingError, match="there are hold, release"):
            await OperationHarness().do("queue count", act="burn")

    run(scenario)


# The inboxes ----------------------------------------------------------------------------------------------------------


async def kept(desk: OperationHarness, *inboxes: str) -> list[int]:
    """One message in each inbox; their numbers."""
    await desk.store("ann@here.test")
    (lease,) = await desk.queue.lease("w", desk.clock.time(), desk.clock.time() + 60, limit=1)
    for inbox in inboxes:
        await desk.queue.keep(inbox, lease.message, Bytes(CONTENT))
    return [each.number for each in await desk.do("inbox list")]


def test_deleting_is_audited_and_says_what_was_missing() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        first, second, third = await kept(desk, "a@here.test", "b@here.test", "c@here.test")
        change = await desk.do("inbox delete", numbers=[first, third, first, 999])
        assert (change.deleted, change.missing, change.who) == (2, 1, "ann (uid 1000)")
        assert [each.number for each in await desk.do("inbox list")] == [second]
        (line,) = await desk.do("queue audit")
        assert (line.act, line.recipients, line.who) == ("delete", 2, "ann (uid 1000)")
        assert line.filter == f"number:{first} number:{third} number:999"
        assert line.at == desk.clock.time()

    run(scenario)


def test_deleting_nothing_is_a_mistake() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        with pytest.raises(SettingError, match="no message is named"):
            await desk.do("inbox delete", numbers=[])
        assert await desk.do("queue audit") == []

    run(scenario)


def test_every_answer_travels_as_json() -> None:
    """What an operation declares as its answer can be read back from what it gives."""

    async def scenario() -> None:
        desk = await OperationHarness(
            zones={"far.test": {"MX": ["10 mx.far.test"]}, "mx.far.test": {"A": ["192.0.2.7"]}}
        )
        queue_id = await desk.store("a@far.test")
        await desk.attempt(Result.DEFERRED, LATER)
        await desk.do("queue hold", filter="age>=0")
        for name, given in (
            ("queue list", {}),
            ("queue show", {"id": queue_id}),
            ("queue summary", {}),
            ("queue count", {}),
            ("queue audit", {}),
            ("queue release", {"filter": "age>=0"}),
            ("explain", {"what": queue_id}),
            ("explain", {"what": "a@far.test"}),
            ("explain", {"what": "<a@here.test>"}),
            ("explain", {"what": "550"}),
            ("inbox summary", {}),
            ("inbox list", {}),
            ("inbox delete", {"numbers": [1]}),
        ):
            answer = await desk.do(name, **given)
            assert msgspec.json.decode(msgspec.json.encode(answer), type=OPERATIONS[name].answer) == answer, name

    run(scenario)


def test_settled_recipients_are_counted_where_a_filter_asks_for_them() -> None:
    """They exist while others of their message wait; destinations without any are not named."""

    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test", "b@near.test", "c@here.test")
        await desk.attempt(Result.DELIVERED, TAKEN, only="far.test")
        await desk.attempt(Result.FAILED, NEVER, only="near.test")
        for text, destination in (("state:delivered", "far.test"), ("state:failed", "near.test")):
            found = await desk.do("queue count", filter=text)
            assert (found.recipients, [row.destination for row in found.destinations]) == (1, [destination])
            assert [row.destination for row in (await desk.do("queue summary", filter=text)).rows] == [destination]
            (entry,) = await desk.do("queue list", filter=text)
            assert entry.next is None
        assert (await desk.do("queue count", filter="state:delivered domain:here.test")).destinations == []

    run(scenario)


def test_a_size_beyond_all_sizes_is_a_filter_like_any_other() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        await desk.store("a@far.test")
        assert await desk.do("queue list", filter="size>999999999999999T") == []
        assert len(await desk.do("queue list", filter="size<999999999999999T")) == 1

    run(scenario)
