"""Accounts that are removed, switched off or changed while their sessions are open: each MAIL goes by the account of
now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from posthouse.core import Reply, StorageError
from posthouse.protocol.commands import Mail
from posthouse.protocol.sasl import Authenticated, CheckPassword, server_exchange
from posthouse.protocol.sasl.mechanisms import MECHANISMS
from posthouse.service.accounts import AccountFile, AccountStore, FileAccounts
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing.manual_clock import ManualClock

from .policy_harness import PolicyHarness, address, bring_in, envelope, now

ANN, BOB, OUT = "ann@x.test", "bob@x.test", "198.51.100.7"
TEXT = """
hostname = "mx.test"
[relay]
trusted_networks = ["192.0.2.0/24"]
[[listener]]
bind = "127.0.0.1:0"
kind = "{kind}"
auth = "{auth}"
check_from = true
[[domain]]
name = "x.test"
mailboxes = "any"
"""


def made(tmp_path: Path) -> AccountFile:
    file = AccountFile(tmp_path)
    file.add(ANN, "secret", (), 0.0)
    return file


def logged_in(store: AccountStore, *, kind: str = "submission", host: str = OUT) -> tuple[PolicyHarness, SessionPolicy]:
    auth = "" if kind == "submission" else "offered"
    text = TEXT.format(kind=kind, auth=auth).replace('auth = ""\n', "")
    harness = PolicyHarness(text, accounts=store, clock=ManualClock())
    session = harness.session(host)
    assert now(session.logged_in(Authenticated(ANN, "PLAIN"))).code == 235
    return harness, session


def mail(session: SessionPolicy, sender: str = ANN) -> Reply:
    return now(session.mail(Mail(address(sender))))


@pytest.mark.parametrize(
    "change", [lambda file: file.remove(ANN), lambda file: file.set_active(ANN, False)], ids=["removed", "off"]
)
@pytest.mark.parametrize(("kind", "host"), [("submission", OUT), ("submission", "192.0.2.7"), ("mx", OUT)])
def test_a_session_loses_its_rights_with_its_account(
    tmp_path: Path, change: Callable[[AccountFile], None], kind: str, host: str
) -> None:
    """The transaction that has begun is still taken, also from a trusted network no other is."""
    file = made(tmp_path)
    harness, session = logged_in(FileAccounts(file), kind=kind, host=host)
    assert mail(session).code == 250
    change(file)
    assert [reply.code for reply in bring_in(session, envelope(BOB, sender=ANN), b"From: ann@x.test\r\n\r\n")] == [250]
    for sender in (ANN, BOB):
        assert str(mail(session, sender)).startswith("530 5.7.0 ")
    assert now(session.mail(Mail(None))).code == 530
    refusals = [fields for event, fields in harness.events if event == "refused"]
    assert refusals[0]["reason"] == f"the account {ANN} is gone, or switched off"
    assert [fields["sender"] for fields in refusals] == [ANN, BOB, ""]


@pytest.mark.parametrize("left", [None, "nothing"], ids=["missing", "damaged"])
def test_while_the_accounts_cannot_be_read_mail_is_put_off(tmp_path: Path, left: str | None) -> None:
    """A 530 would return the mail."""
    file = made(tmp_path)
    _, session = logged_in(FileAccounts(file))
    assert mail(session).code == 250
    file.path.rename(tmp_path / "aside")
    if left is not None:
        file.path.write_text(left)
    assert str(mail(session)).startswith("451 4.7.0 ")
    (tmp_path / "aside").replace(file.path)
    assert mail(session).code == 250


def test_an_account_that_comes_back_goes_on(tmp_path: Path) -> None:
    file = made(tmp_path)
    _, session = logged_in(FileAccounts(file))
    file.set_active(ANN, False)
    assert mail(session).code == 530
    file.set_active(ANN, True)
    assert mail(session).code == 250


def test_changed_identities_count_at_the_next_mail(tmp_path: Path) -> None:
    """In MAIL and, where From is checked, in the header section."""
    file = made(tmp_path)
    _, session = logged_in(FileAccounts(file))
    to = envelope(BOB, sender=ANN)
    assert [reply.code for reply in bring_in(session, to, b"From: ann@x.test\r\n\r\n")] == [250]
    assert mail(session, BOB).code == 553
    file.set_identities(ANN, [BOB])
    assert mail(session).code == 553
    assert mail(session, BOB).code == 250
    assert [reply.code for reply in bring_in(session, to, b"From: ann@x.test\r\n\r\n")] == [553]
    assert [reply.code for reply in bring_in(session, to, b"From: bob@x.test\r\n\r\n")] == [250]


class Code(AccountStore):
    """Accounts that must be asked, as own code is; ``found`` is returned or raised."""

    def __init__(self) -> None:
        self.found: Sequence[str] | StorageError | None = (ANN,)
        self.asked = 0

    async def identities(self, user: str) -> Sequence[str] | None:
        self.asked += 1
        if isinstance(self.found, StorageError):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("found", "said"),
    [(None, "530 5.7.0"), ((BOB,), "553 5.7.1"), (StorageError("the directory is down"), "451 4.7.0")],
)
def test_accounts_that_must_be_asked_are_asked_once_a_minute(
    found: Sequence[str] | StorageError | None, said: str
) -> None:
    store = Code()
    harness, session = logged_in(store)
    clock = harness.policy.clock
    assert isinstance(clock, ManualClock)
    store.found = found
    asyncio.run(clock.advance(59.0))
    assert mail(session).code == 250
    assert store.asked == 1
    asyncio.run(clock.advance(1.0))
    assert str(mail(session)).startswith(said)
    assert store.asked == 2
    store.found = (ANN,)
    asyncio.run(clock.advance(60.0))
    assert mail(session).code == 250


@pytest.mark.parametrize(("mechanism", "initial"), [("PLAIN", b"\0ann\0"), ("LOGIN", b"ann")])
def test_an_empty_password_is_refused_before_the_accounts_are_asked(mechanism: str, initial: bytes) -> None:
    """A directory may take an empty password for an anonymous login, and say yes; the catcher takes every password."""
    harness = PolicyHarness(TEXT.format(kind="submission", auth="required"), accounts=Code())
    logins = harness.policy.logins
    assert logins is not None
    context = logins.context((mechanism,), {}, None)
    step = next(taking := server_exchange(MECHANISMS[mechanism], initial, context._replace(empty_passwords=True)))
    assert isinstance(step if mechanism == "PLAIN" else taking.send(b""), CheckPassword)
    refusing = server_exchange(MECHANISMS[mechanism], initial, context)
    with pytest.raises(StopIteration) as ended:  # noqa: PT012 (LOGIN has one step more)
        next(refusing)
        refusing.send(b"")
    assert ended.value.value.reply.code == 535
    assert not context.empty_passwords
