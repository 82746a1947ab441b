"""``posthouse user``: accounts made, shown, changed and removed, and what is refused, with the remedy."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from posthouse.service.accounts import AccountFile

from .children import environment

CONFIG = 'data_dir = "{0}/data"\n[[listener]]\nbind = "127.0.0.1:0"\nkind = "submission"\n'


class Users:
    """The command with a configuration, and passwords from a file."""

    def __init__(self, ran: Any, root: Path) -> None:
        self.ran, self.root = ran, root
        self.config = root / "posthouse.toml"
        self.config.write_text(CONFIG.format(root))
        self.file = AccountFile(root / "data")

    def __call__(self, command: str, *arguments: str, password: str | bytes | None = None, code: int = 0) -> Any:
        if password is not None:
            path = self.root / "password"
            path.write_bytes(password if isinstance(password, bytes) else password.encode())
            arguments = (*arguments, "--password-file", str(path))
        done = self.ran("user", command, *arguments, "--config", str(self.config))
        assert done.code == code, done.err
        return done


@pytest.fixture
def users(ran: Any, tmp_path: Path) -> Users:
    return Users(ran, tmp_path)


def test_an_account_from_its_making_to_its_end(users: Users) -> None:
    assert users("list").err == "There are no accounts.\n"
    assert "the account ann@x.test was made" in users("add", "ann@x.test", password="pw\n").out
    assert users.file.check("ann@x.test", "pw")
    users("passwd", "ann@x.test", password="new\r\n")
    assert users.file.check("ann@x.test", "new")
    users("change", "ann@x.test", "--identities", "ann@x.test,@y.test", "--inactive")
    shown = json.loads(users("show", "ann@x.test", "--json").out)
    assert (shown["identities"], shown["active"]) == (["ann@x.test", "@y.test"], False)
    assert [each["name"] for each in json.loads(users("list", "--json").out)] == ["ann@x.test"]
    assert "ann@x.test, @y.test  no" in users("list").out
    assert not users.file.check("ann@x.test", "new")
    users("remove", "ann@x.test")
    assert json.loads(users("list", "--json").out) == []


def test_what_is_printed_holds_no_secret(users: Users) -> None:
    said = [users("add", "ann@x.test", "--json", password="s3cret").out, users("show", "ann@x.test", "--json").out]
    assert not any(word in text for text in said for word in ("s3cret", "SCRAM", "argon2"))


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "holds no password; write the password into its first line"),
        ("\n", "holds no password; write the password into its first line"),
        ("x" * 1_025, "1 to 1,024 octets"),
        ("a\x07b", "a control character"),
        ("a\rb\n", "a control character"),
        ("a\0b", "a control character"),
        ("one\ntwo\n", "more than one line"),
        ("one\n\ntwo", "more than one line"),
        (b"\xff\xfe", "not UTF-8"),
        ("\u00ad", "nothing of this password is left"),
        ("a\u0627", "mixes right-to-left and left-to-right"),
        ("\U0001f600", "newer than Unicode 3.2"),
        ("\ue000", "a private-use character"),
    ],
)
@pytest.mark.parametrize("command", ["add", "passwd"])
def test_a_password_that_cannot_be_one(users: Users, command: str, password: str | bytes, reason: str) -> None:
    if command == "passwd":
        users("add", "ann@x.test", password="pw")
    done = users(command, "ann@x.test", password=password, code=65)
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("posthouse: ")
    assert "; " in done.err
    assert users.file.check("ann@x.test", "pw") is (command == "passwd"), "the old one stays"


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_name_and_password_in_another_normal_form(users: Users, stored: str, form: str) -> None:
    """SASLprep at both ends: what one keyboard writes composed, another writes in two characters."""
    name, password = "j\u00fcrgen@x.test", "\u212bngstr\u00f6m \ufb01"
    users("add", unicodedata.normalize(stored, name), password=unicodedata.normalize(stored, password))
    assert users.file.check(unicodedata.normalize(form, name), unicodedata.normalize(form, password))
    users("passwd", unicodedata.normalize(form, name), password="n\u00fc")
    assert users.file.check(name, unicodedata.normalize(form, "n\u00fc"))
    assert users.file.keys(unicodedata.normalize(form, name), "sha256") is not None
    users("remove", unicodedata.normalize(form, name))


@pytest.mark.parametrize("name", ["", " ", " ann", "ann ", "a\tb", "a\nb", "a\x07", "x" * 256, "\u00ad"])
def test_a_name_that_cannot_be_one(users: Users, name: str) -> None:
    assert "choose another name" in users("add", name, password="pw", code=65).err


def test_a_name_in_another_case_is_not_a_second_account(users: Users) -> None:
    users("add", "ann@x.test", password="pw")
    assert "already" in users("add", "Ann@X.test", password="pw", code=65).err
    assert "already; change its password" in users("add", "ann@x.test", password="pw", code=65).err


@pytest.mark.parametrize("name", ["bob", "@x.test", "a b@x.test", "a@", "a@b@c"])
def test_only_an_address_may_be_sent_as_without_being_told(users: Users, name: str) -> None:
    """The name ``@x.test`` must not become the right to send as everybody in that domain."""
    assert "may send as nobody until" in users("add", name, password="pw").out
    found = users.file.find(name)
    assert found is not None
    assert found.identities == ()


@pytest.mark.parametrize("word", ["", " ", "default"])
def test_identities_go_back_to_the_default(users: Users, word: str) -> None:
    for name in ("ann@x.test", "ann"):
        users("add", name, "--identities", "*", password="pw")
    assert "nobody" not in users("change", "ann@x.test", "--identities", word).out
    assert json.loads(users("show", "ann@x.test", "--json").out)["identities"] == ["ann@x.test"]
    users("change", "ann@x.test", "--inactive")
    assert json.loads(users("show", "ann@x.test", "--json").out)["identities"] == ["ann@x.test"]
    assert "it may send as nobody" in users("change", "ann", "--identities", word).out
    assert json.loads(users("show", "ann", "--json").out)["identities"] == []


@pytest.mark.parametrize("identities", ["foo", "@", "@-x-", "a@", "a@b@c", "ann@x.test bad", "**", "<a@b.test>"])
def test_what_is_no_identity(users: Users, identities: str) -> None:
    users("add", "ann@x.test", password="pw")
    assert "is no identity" in users("change", "ann@x.test", "--identities", identities, code=65).err
    assert "is no identity" in users("add", "b@x.test", "--identities", identities, password="pw", code=65).err


@pytest.mark.parametrize("command", ["show", "remove", "change", "passwd"])
def test_an_account_that_is_not_there(users: Users, command: str) -> None:
    more = ("--inactive",) if command == "change" else ()
    done = users(command, "nobody", *more, password="pw" if command == "passwd" else None, code=65)
    assert done.err == "posthouse: there is no account nobody; see: posthouse user list\n"


def test_a_password_is_never_an_argument(users: Users) -> None:
    assert users("add", "ann@x.test", "s3cret", code=64)
    assert users("add", "ann@x.test", "--password", "s3cret", code=64)
    assert users("list", "--json").out == "[]\n"


def test_without_a_configuration_there_are_no_accounts_to_keep(ran: Any) -> None:
    done = ran("user", "list")
    assert done.code == 65
    assert "name your configuration with --config" in done.err


@pytest.mark.parametrize("accounts", ["dovecot:/run/auth", "python:a:b"])
def test_accounts_that_are_elsewhere(users: Users, accounts: str) -> None:
    users.config.write_text(f'accounts = "{accounts}"\n' + users.config.read_text())
    assert "change them there" in users("list", code=65).err


def test_a_file_that_is_damaged_or_cannot_be_made(users: Users, tmp_path: Path) -> None:
    users("add", "ann@x.test", password="pw")
    users.file.path.write_bytes(b"garbage" * 1_000)
    assert "is damaged" in users("list", code=74).err
    users.config.write_text(users.config.read_text().replace("/data", "/password/data"))
    assert "cannot be made" in users("add", "b@x.test", password="pw", code=74).err


def test_standard_input_that_is_no_terminal(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert "give --password-file FILE" in users("add", "ann@x.test", code=65).err


@pytest.mark.parametrize("more", [(), ("--password-file", "-")])
def test_the_terminal_asks_twice_without_echo(users: Users, tmp_path: Path, more: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "posthouse", "user", "add", "ann@x.test", *more, "--config", str(users.config)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(tmp_path)) as process:
        os.close(theirs)
        said = b""
        for question in (b"password: ", b"once more: "):
            while not said.endswith(question):
                assert select.select([ours], [], [], 60)[0], said
                said += os.read(ours, 1_024)
            os.write(ours, b"s3cret pw\n")
        try:
            while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 1_024)):
                said += piece
        except OSError:  # Linux: the other end is closed
            pass
        assert process.wait(60) == 0, said
    os.close(ours)
    assert b"s3cret" not in said
    assert users.file.check("ann@x.test", "s3cret pw")
