"""The operations that need no running house, and what every operation has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.service import OPERATIONS, context, parse
from posthouse.service.answers import AddressReport, CodeEntry, ConfigReport
from posthouse.words import SettingError

HOUSE = """
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


def do(name: str, text: str = HOUSE, **parameters: Any) -> Any:
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
    path.write_text(HOUSE)
    report: ConfigReport = do("check config", path=str(path))
    assert (report.usable, report.problems, report.advice) == (True, [], [])
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
        ('[[listener]]\nbind = "127.0.0.1:1"\nkind = "submission"', "nobody may submit"),
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
    entries: list[CodeEntry] = do("explain code", code="550 5.1.1 no such user")
    assert [each.code for each in entries] == ["550", "5.1.1"]
    assert all(each.meaning and each.whose and each.next_step for each in entries)
    assert do("explain code", code="550", lang="zh")[0].meaning != entries[0].meaning
    with pytest.raises(SettingError, match="no reply code"):
        do("explain code", code="hello")


def test_a_spool_that_is_not_there(tmp_path: Path) -> None:
    """Looking at nothing creates nothing: it is empty, or says so."""
    text = f'data_dir = "{tmp_path}/none"'
    try:
        assert do("queue list", text) == []
    except SettingError as error:
        assert "none" in str(error)  # noqa: PT017 - either end is right
    assert not (tmp_path / "none").exists()
