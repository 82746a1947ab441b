"""The built-in accounts: no password in the file, one spelling of a name, and no difference that tells who exists."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from posthouse.core import SettingError, StorageCorrupt, StorageError
from posthouse.protocol.sasl import (
    MECHANISMS,
    Authenticated,
    Credentials,
    Denied,
    Say,
    ServerContext,
    client_exchange,
    server_exchange,
)
from posthouse.service.accounts import AccountFile, AccountStore, FileAccounts, answer, decoy_secret, file_accounts
from posthouse.service.accounts.account_file import SCRAM_ITERATIONS

NOW = 1_700_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> AccountFile:
    made = AccountFile(tmp_path)
    made.add("ann@example.org", "correct horse", (), NOW)
    return made


def test_what_is_kept_holds_no_password(file: AccountFile) -> None:
    data = file.path.read_bytes()
    assert b"correct horse" not in data
    assert b"SCRAM-SHA-256$" in data
    assert b"$argon2id$" in data
    assert os.stat(file.path).st_mode & 0o777 == 0o600


def test_the_right_password_and_no_other(file: AccountFile) -> None:
    assert file.check("ann@example.org", "correct horse")
    assert not file.check("ann@example.org", "correct horse ")
    assert not file.check("bob@example.org", "correct horse")


def test_an_account_may_send_as_its_own_address_or_as_told(file: AccountFile) -> None:
    assert file.add("bob", "pw", ("bob@example.org", "@example.net"), NOW).identities == (
        "bob@example.org",
        "@example.net",
    )
    assert [each.name for each in file.accounts()] == ["ann@example.org", "bob"]
    ann, bob = file.find("ann@example.org"), file.find("bob")
    assert ann is not None
    assert bob is not None
    assert ann.identities == ("ann@example.org",)
    file.set_identities("bob", ())
    assert file.find("bob") == bob._replace(identities=())


def test_a_changed_password_counts_at_once(file: AccountFile) -> None:
    file.set_password("ann@example.org", "new", NOW + 1)
    assert not file.check("ann@example.org", "correct horse")
    assert file.check("ann@example.org", "new")
    found = file.find("ann@example.org")
    assert found is not None
    assert found.changed == NOW + 1


def test_an_account_that_is_switched_off_does_not_log_in(file: AccountFile) -> None:
    file.set_active("ann@example.org", False)
    assert not file.check("ann@example.org", "correct horse")
    assert file.keys("ann@example.org", "sha256") is None
    file.set_active("ann@example.org", True)
    assert file.check("ann@example.org", "correct horse")


def test_one_name_has_one_spelling(file: AccountFile) -> None:
    file.add("re\u0301mi", "pass\u00e9", (), NOW)
    assert file.check("r\u00e9mi", "passe\u0301")
    with pytest.raises(SettingError, match="already"):
        file.add("r\u00e9mi", "other", (), NOW)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", "p"),
        ("a\nb", "p"),
        ("a\tb", "p"),
        ("x" * 256, "p"),
        ("n", ""),
        ("n", "p\x07"),
        ("n", "p\n"),
        ("n", "\u00ad"),
    ],
)
def test_names_and_passwords_that_could_not_be_used_are_refused_when_set(
    file: AccountFile, name: str, password: str
) -> None:
    with pytest.raises(SettingError) as caught:
        file.add(name, password, (), NOW)
    assert caught.value.remedy
    assert len(file.accounts()) == 1


def test_an_account_that_is_not_there_is_named(file: AccountFile) -> None:
    for act in (
        lambda: file.remove("bob"),
        lambda: file.set_password("bob", "p", NOW),
        lambda: file.set_active("bob", True),
        lambda: file.set_identities("bob", ()),
    ):
        with pytest.raises(SettingError, match="no account bob"):
            act()
    file.remove("ann@example.org")
    assert file.accounts() == []


def test_without_a_file_there_are_no_accounts(tmp_path: Path) -> None:
    empty = AccountFile(tmp_path)
    assert empty.accounts() == []
    assert not empty.check("ann", "p")
    assert not empty.path.exists(), "a question makes no file"


def test_a_file_that_is_none_is_a_fault_of_storage(tmp_path: Path) -> None:
    (tmp_path / "accounts.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageCorrupt, match="damaged"):
        AccountFile(tmp_path).check("ann", "p")


def test_a_newer_format_is_not_touched(file: AccountFile) -> None:
    with sqlite3.connect(file.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="format 99"):
        file.accounts()


def test_the_secret_of_unknown_accounts_stays(tmp_path: Path) -> None:
    first = decoy_secret(tmp_path)
    assert decoy_secret(tmp_path) == first
    assert len(first) == 32
    assert os.stat(tmp_path / "accounts.decoy").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"])
@pytest.mark.parametrize(("password", "right"), [("correct horse", True), ("wrong", False)])
def test_each_mechanism_logs_in(file: AccountFile, name: str, password: str, right: bool) -> None:
    outcome = asyncio.run(log_in(FileAccounts(file), name, Credentials("ann@example.org", password)))
    if right:
        assert outcome == Authenticated("ann@example.org", name)
    else:
        assert isinstance(outcome, Denied)
        assert outcome.reply.code == 535


async def log_in(store: AccountStore, name: str, credentials: Credentials) -> Authenticated | Denied | None:
    """Drive both generators, the server's questions asked of ``store``."""
    client = client_exchange(MECHANISMS[name], credentials, nonce="c")
    first = next(client)
    assert isinstance(first, Say)
    context = ServerContext("s", b"decoy", decoy_iterations=SCRAM_ITERATIONS)
    server = server_exchange(MECHANISMS[name], first.data, context)
    waiting = None
    try:
        step = next(server)
        for _ in range(10):
            while not isinstance(step, Say):
                step = server.send(await answer(store, step))
            response = client.send(step.data)
            while not isinstance(response, Say):
                response = client.send(await answer(store, response))
            waiting = response.data
            step = server.send(waiting)
    except StopIteration as end:
        outcome: Authenticated | Denied | None = end.value
        return outcome
    raise AssertionError("the exchange does not end")


# -- passwords that were right -----------------------------------------------------------------------------------------


class Checked:
    """The store of a file, and how often a password was checked in full."""

    def __init__(self, file: AccountFile, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.checks = 0
        self.store = FileAccounts(file, stopwatch=lambda: self.now)
        whole = AccountFile.check

        def check(this: AccountFile, name: str, password: str) -> bool:
            self.checks += 1
            return whole(this, name, password)

        monkeypatch.setattr(AccountFile, "check", check)

    def says(self, user: str, password: str) -> object:
        return asyncio.run(self.store.check_password(user, password))


def test_a_right_password_is_remembered_for_ten_minutes(file: AccountFile, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(file, monkeypatch)
    assert [checked.says("ann@example.org", "correct horse") for _ in range(3)] == [True, True, True]
    assert checked.checks == 1
    checked.now += 599
    assert checked.says("ann@example.org", "correct horse")
    assert checked.checks == 1
    checked.now += 1
    assert checked.says("ann@example.org", "correct horse")
    assert checked.checks == 2


def test_wrong_passwords_and_unknown_accounts_always_cost_the_whole_check(
    file: AccountFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Checked(file, monkeypatch)
    assert checked.says("ann@example.org", "correct horse")
    for user, password in (("ann@example.org", "wrong"), ("ann@example.org", ""), ("bob", "correct horse")):
        before = checked.checks
        assert [checked.says(user, password) for _ in range(2)] == [False, False]
        assert checked.checks == before + 2


def test_a_changed_password_and_a_locked_account_count_at_once(
    file: AccountFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Checked(file, monkeypatch)
    assert checked.says("ann@example.org", "correct horse")
    file.set_password("ann@example.org", "battery", NOW)
    assert not checked.says("ann@example.org", "correct horse")
    assert checked.says("ann@example.org", "battery")
    file.set_active("ann@example.org", False)
    assert not checked.says("ann@example.org", "battery")
    file.remove("ann@example.org")
    file.add("ann@example.org", "battery", (), NOW)
    before = checked.checks
    assert checked.says("ann@example.org", "battery")  # another salt: another account as far as memory goes
    assert checked.checks == before + 1


def test_what_is_remembered_is_bounded_and_no_password(file: AccountFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_accounts, "_REMEMBERED", 2)
    for name in ("b", "c"):
        file.add(name, "correct horse", (), NOW)
    checked = Checked(file, monkeypatch)
    for name in ("ann@example.org", "b", "c", "c"):
        assert checked.says(name, "correct horse")
    assert checked.checks == 3
    assert set(checked.store._right._digests) == {"b", "c"}
    assert "horse" not in repr(checked.store._right.__dict__)


def test_sessions_that_log_in_together_cost_one_check_after_the_other(
    file: AccountFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checks run at one time; whoever waits for its turn has the answer of those before it."""
    checked = Checked(file, monkeypatch)

    async def together() -> list[object]:
        return list(
            await asyncio.gather(*(checked.store.check_password("ann@example.org", "correct horse") for _ in range(20)))
        )

    assert asyncio.run(together()) == [True] * 20
    assert checked.checks <= file_accounts._CHECKS
