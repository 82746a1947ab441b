"""The mail index of the SQLite spool: views with their counts, pages, searches, marks, tags, deletion and undo."""

from __future__ import annotations

import asyncio
import lzma
import re
import sqlite3
import tarfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, LocalError, Recipient, StorageError
from posthouse.spool import SqliteSpool
from posthouse.spool.history import Event
from posthouse.spool.interface import StoredMessage
from posthouse.spool.mail_index import MailDigest, MailTerm, MailView
from posthouse.spool.model import InboxMessage
from posthouse.spool.sqlite.indexing.index_schema import open_index
from posthouse.spool.sqlite.indexing.index_search import _IndexSearch

NOW = 1_800_000_000.0
DATA = Path(__file__).parent / "data"


def digest(place: InboxMessage, octets: bytes, events: Sequence[Event]) -> MailDigest:
    """The first line is the subject, the rest the text; a subject that begins with # has a tag."""
    subject, _, body = octets.decode().partition("\n")
    labels = (f"tag:{subject[1:]}",) if subject.startswith("#") else ()
    return MailDigest(
        subject=subject,
        subject_text=subject.casefold(),
        body_text=body.casefold(),
        people_text=f"bob\n{place.inbox}",
        labels=labels,
        login="ann" if "login" in body else "",
    )


class Filled:
    """An ephemeral spool with messages in its mailboxes."""

    def __init__(self, spool: SqliteSpool) -> None:
        self.spool = spool
        self.index = spool.index

    async def keep(self, text: str, *inboxes: str) -> None:
        incoming = self.spool.receive()
        envelope = Envelope(Address("ann", "here.test"), (Recipient(Address("bob", "x.test")),))
        message = StoredMessage(incoming.id, envelope, NOW, len(text.encode()))
        incoming.abort()
        for inbox in inboxes or ("bob@x.test",):
            await self.spool.keep(inbox, message, Bytes(text.encode()))

    async def follow(self) -> None:
        assert (await self.index.follow(digest, limit=1_000_000)).waiting == 0

    async def subjects(self, view: str = "", *terms: MailTerm) -> list[str]:
        return [row.subject for row in (await self.index.search(view, terms)).rows]

    async def counts(self, view: str = "") -> tuple[int, int, int]:
        return tuple((await self.index.view(view))[1:])  # type: ignore[return-value]


def run(scenario: Callable[[Filled], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), SqliteSpool.ephemeral(time=lambda: NOW) as spool:
            await scenario(Filled(spool))

    asyncio.run(bounded())


def word(text: str, field: str = "any", *, negated: bool = False) -> MailTerm:
    return MailTerm(field, "~", text, negated)


def test_one_message_to_two_mailboxes_is_one_row_with_two_places() -> None:
    async def scenario(filled: Filled) -> None:
        await filled.keep("one", "a@x.test", "b@x.test")
        await filled.keep("two login", "b@y.test")
        await filled.follow()
        assert await filled.subjects() == ["two login", "one"]
        (row,) = (await filled.index.search("a@x.test")).rows
        assert (row.inboxes, row.number, row.unread) == (("a@x.test", "b@x.test"), 1, True)
        assert await filled.index.row(2) == row
        names = [each.name for each in await filled.index.views()]
        assert names == ["", "@x.test", "@y.test", "a@x.test", "b@x.test", "b@y.test"]
        assert await filled.counts("@x.test") == (1, 1, 3)
        found = await filled.index.places("b@x.test")
        assert [(place.number, each.number) for place, each in found] == [(2, 1)]

    run(scenario)


def test_a_message_is_indexed_once_and_new_ones_are_found_behind_it() -> None:
    async def scenario(filled: Filled) -> None:
        for number in range(120):
            await filled.keep(f"m{number}")
        state = await filled.index.follow(digest, limit=50)
        assert state.waiting == 70
        await filled.follow()
        await filled.follow()
        assert (await filled.counts())[:2] == (120, 120)
        await filled.keep("late")
        await filled.follow()
        first = await filled.index.search("", limit=50)
        assert (first.rows[0].subject, len(first.rows)) == ("late", 50)
        second = await filled.index.search("", limit=50, before=first.before)
        third = await filled.index.search("", limit=50, before=second.before)
        assert third.before == 0
        numbers = [row.number for page in (first, second, third) for row in page.rows]
        assert numbers == sorted(set(numbers), reverse=True)
        assert len(numbers) == 121
        newer = await filled.index.search("", after=first.rows[1].number)
        assert [row.subject for row in newer.rows] == ["late"]

    run(scenario)


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ([word("INVOICE")], ["Invoice 7"]),
        ([word("nvoic")], ["Invoice 7"]),
        ([word("驿站")], ["你好"]),
        ([word("驿")], ["你好"]),
        ([word("第一封")], ["你好"]),
        ([word("7")], ["Invoice 7"]),
        ([word("straße")], ["Groß"]),
        ([word("STRASSE")], ["Groß"]),
        ([word('say "x"')], ["quotes"]),
        ([word("invoice", negated=True)], ["quotes", "Groß", "你好"]),
        ([word("due"), word("pay")], ["Invoice 7"]),
        ([word("due"), word("nothing")], []),
        ([word("due", "subject")], []),
        ([MailTerm("to", "=", "bob@x.test")], ["quotes", "Groß", "你好", "Invoice 7"]),
        ([MailTerm("to", "=", "ob@x.test")], []),
        ([MailTerm("to", "=", "*@x.test"), word("due")], ["Invoice 7"]),
        ([MailTerm("to", "=", "b?b@x.test")], []),
        ([MailTerm("unread", "=", 0)], []),
        ([MailTerm("size", ">", 1_000)], []),
        ([MailTerm("number", "=", 1)], ["Invoice 7"]),
        ([MailTerm("view", "=", "@x.test", True)], []),
        ([word("")], ["quotes", "Groß", "你好", "Invoice 7"]),
    ],
)
def test_searches(terms: list[MailTerm], found: list[str]) -> None:
    async def scenario(filled: Filled) -> None:
        await filled.keep("Invoice 7\ndue today, please pay")
        await filled.keep("你好\n驿站的第一封邮件")
        await filled.keep("Groß\nHauptstraße")
        await filled.keep('quotes\nthey say "x"')
        await filled.follow()
        assert await filled.subjects("", *terms) == found
        counted, whole = await filled.index.count("", terms)
        assert (counted.messages, whole) == (len(found), True)

    run(scenario)


def test_a_term_that_does_not_exist_is_refused() -> None:
    async def scenario(filled: Filled) -> None:
        with pytest.raises(LocalError, match="no term 'colour'"):
            await filled.subjects("", MailTerm("colour", "=", "red"))

    run(scenario)


def test_read_marks_and_tags_change_the_counts_of_every_view() -> None:
    async def scenario(filled: Filled) -> None:
        for text in ("one", "#red", "three"):
            await filled.keep(text)
        await filled.follow()
        assert await filled.counts("tag:red") == (1, 1, 4)
        assert await filled.index.mark([1, 2, 99], unread=False) == 2
        assert await filled.index.mark([2], unread=False) == 0
        assert await filled.counts() == (3, 1, 12)
        assert await filled.counts("tag:red") == (1, 0, 4)
        assert await filled.subjects("", MailTerm("unread", "=", 1)) == ["three"]
        assert await filled.index.tag([1, 3, 99], ["blue", "red"]) == 2
        assert await filled.subjects("tag:red") == ["three", "#red", "one"]
        assert await filled.index.tag([2], ["red"], remove=True) == 1
        assert await filled.counts("tag:red") == (2, 1, 8)
        row = await filled.index.row(3)
        assert row is not None
        assert row.tags == ("blue", "red")

    run(scenario)


def test_a_deletion_hides_can_be_undone_and_is_final_after_its_time() -> None:
    async def scenario(filled: Filled) -> None:
        await filled.keep("both", "a@x.test", "b@x.test")
        await filled.keep("other", "a@x.test")
        await filled.follow()
        before = [await filled.counts(view) for view in ("", "a@x.test", "b@x.test", "@x.test")]
        some = await filled.index.delete([1], now=NOW, final=NOW + 600, who="ann", inbox="a@x.test")
        assert (some.messages, some.who) == (1, "ann")
        assert await filled.subjects("a@x.test") == ["other"]
        assert await filled.subjects("b@x.test") == ["both"]
        assert len(await filled.subjects()) == 2
        rest = await filled.index.delete([2, 3], now=NOW, final=NOW + 600)
        assert rest.messages == 2
        assert await filled.index.views() == []
        assert await filled.index.row(1) is None
        assert [each.number for each in await filled.index.deletions(now=NOW)] == [rest.number, some.number]
        assert await filled.index.final(now=NOW + 599, limit=10) == []
        assert await filled.index.undo(rest.number, now=NOW) == 2
        assert await filled.index.undo(some.number, now=NOW) == 1
        assert [await filled.counts(view) for view in ("", "a@x.test", "b@x.test", "@x.test")] == before
        again = await filled.index.delete([3], now=NOW, final=NOW + 600)
        assert await filled.index.undo(again.number, now=NOW + 600) == 0
        ((made, place),) = await filled.index.final(now=NOW + 600, limit=10)
        assert (made.number, place) == (again.number, 3)
        await filled.index.forget([3])
        assert await filled.index.final(now=NOW + 600, limit=10) == []
        assert await filled.index.deletions(now=NOW) == []
        await filled.follow()
        assert await filled.subjects() == ["both"]
        assert await filled.subjects("", word("other")) == []

    run(scenario)


def test_a_rebuild_keeps_what_users_did_and_finds_what_rules_say_now() -> None:
    async def scenario(filled: Filled) -> None:
        for text in ("one", "two", "three"):
            await filled.keep(text)
        await filled.follow()
        await filled.index.mark([1], unread=False)
        await filled.index.tag([2], ["mine"])
        await filled.index.delete([3], now=NOW, final=NOW + 600)
        await filled.index.rebuild()

        def other(place: InboxMessage, octets: bytes, events: Sequence[Event]) -> MailDigest:
            return digest(place, octets, events)._replace(body_text="rebuilt", labels=("box:new",))

        await filled.index.follow(other, limit=1000)
        assert await filled.subjects("", word("rebuilt")) == ["two", "one"]
        assert await filled.counts("box:new") == (2, 1, 6)
        assert await filled.subjects("tag:mine") == ["two"]

    run(scenario)


def test_a_digest_that_fails_hides_no_message() -> None:
    async def scenario(filled: Filled) -> None:
        await filled.keep("one")

        def broken(place: InboxMessage, octets: bytes, events: Sequence[Event]) -> MailDigest:
            raise ValueError("a fault of the reader")

        await filled.index.follow(broken, limit=10)
        assert await filled.subjects() == ["(this message cannot be read)"]

    run(scenario)


def test_the_index_survives_its_process_and_can_be_deleted(tmp_path: Path) -> None:
    async def scenario() -> None:
        for deleted in (False, False, True):
            if deleted:
                (tmp_path / "spool" / "inbox.sqlite3").unlink()
            async with SqliteSpool(tmp_path, time=lambda: NOW) as spool:
                filled = Filled(spool)
                await filled.keep("one")
                await filled.follow()
                await filled.index.mark([1], unread=False)
        async with SqliteSpool.read_only(tmp_path) as spool:
            assert await spool.index.view("") == MailView("", 3, 2, 9)

    asyncio.run(scenario())


def test_an_index_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with SqliteSpool(tmp_path, time=lambda: NOW) as spool:
            connection = sqlite3.connect(tmp_path / "spool" / "inbox.sqlite3")
            connection.execute("PRAGMA user_version = 99")
            connection.close()
            with pytest.raises(StorageError, match="newer Posthouse"):
                await spool.index.view("")
            await Filled(spool).keep("mail goes on")

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["format-3", "format-4"])
def test_inboxes_of_older_spools_are_indexed(tmp_path: Path, name: str) -> None:
    with lzma.open(DATA / f"{name}.tar.xz") as file, tarfile.open(fileobj=file) as archive:
        archive.extractall(tmp_path, filter="data")
    (spool_dir,) = tmp_path.rglob("queue.sqlite3")

    async def scenario() -> None:
        async with SqliteSpool(spool_dir.parent.parent, time=lambda: NOW) as spool:
            expected = [message.number for message in await spool.queries.inbox()]
            await spool.index.follow(lambda place, octets, events: MailDigest(subject=place.inbox), limit=1000)
            assert [place.number for place, _ in await spool.index.places()] == expected
            assert expected

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("terms", "tree"),
    [
        ([MailTerm("unread", "=", 1)], "mail_flags"),
        ([MailTerm("unread", "=", 0), MailTerm("size", ">", 1e6)], "mail_flags"),
        ([MailTerm("attachment", "=", 1), MailTerm("received", "<", 1.0)], "mail_flags"),
        ([MailTerm("queue", "=", "x")], "mail_queue"),
        ([MailTerm("message-id", "=", "x@y")], "mail_message_id"),
        ([MailTerm("number", "=", 7.0)], "INTEGER PRIMARY KEY"),
        ([MailTerm("number", "=", 7.0, negated=True)], "mail_flags"),
    ],
)
def test_conditions_without_text_are_answered_by_a_narrow_tree(
    tmp_path: Path, terms: list[MailTerm], tree: str
) -> None:
    connection = open_index(str(tmp_path / "index"))
    try:
        for view in ("", "bob@x.test"):
            statement, values = _IndexSearch(view, terms).select("m.subject", 1, 1000)
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            (step,) = [each for each in plan if re.search(r"\bm\b", each) and "SUBQUERY" not in each]
            assert tree in step, plan
    finally:
        connection.close()


def test_an_older_index_gets_its_tree_of_narrow_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    connection = open_index(path)
    connection.execute("DROP INDEX mail_flags")
    connection.close()
    connection = open_index(path)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'mail_flags'").fetchone() == (1,)
    connection.close()


def test_several_views_at_one_time_and_nothing_that_is_deleted() -> None:
    async def scenario(filled: Filled) -> None:
        for inbox in ("a@x.test", "b@x.test", "c@y.test"):
            await filled.keep(inbox, inbox)
        await filled.keep("both", "a@x.test", "c@y.test")
        await filled.follow()
        views = MailTerm("views", "=", "a@x.test\n@y.test")
        assert await filled.subjects("", views) == ["both", "c@y.test", "a@x.test"]
        assert await filled.subjects("b@x.test", views) == []
        assert (await filled.index.count("", [views]))[0][1:] == (3, 3, 20)
        await filled.index.delete([1], now=NOW, final=NOW + 60)
        assert await filled.subjects("", views) == ["both", "c@y.test"]
        for term in (MailTerm("unread", "=", 1), MailTerm("size", ">", 0), MailTerm("number", "=", 1.0)):
            assert "a@x.test" not in await filled.subjects("", term)

    run(scenario)
