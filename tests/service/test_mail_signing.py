"""Signing of submitted messages: by whose key, over what, and what is left unsigned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Envelope
from posthouse.mailauth import answer
from posthouse.mailauth.dkim import DkimResult, verify_dkim
from posthouse.protocol.sasl import Authenticated
from posthouse.service.accounts import AccountStore
from posthouse.service.config_file import parse
from posthouse.service.mailauth.auth_terms import AuthTerms
from posthouse.service.mailauth.key_store import KEEP, KeyStore, directory_of
from posthouse.service.mailauth.signers import Signers
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing import ManualClock

from .policy_harness import PolicyHarness, bring_in, envelope, now

CONFIG = """
hostname = "mx.test"
data_dir = "{root}"
[[listener]]
bind = "127.0.0.1:0"
kind = "submission"
[relay]
trusted_networks = ["192.0.2.0/24"]
[[domain]]
name = "x.test"
mailboxes = "any"
"""
TO = envelope("bob@far.test", sender="ann@x.test")
DAY = 86_400.0


class Store(AccountStore):
    """The account ann, and an account that may send as everybody."""

    async def identities(self, user: str) -> Sequence[str] | None:
        return {"ann": ("ann@x.test",), "root": ("*",)}.get(user)


class SigningHarness:
    """A submission listener over a key store."""

    def __init__(self, root: Path, more: str = "") -> None:
        text = CONFIG.format(root=root) + more
        self.clock = ManualClock()
        self.config = parse(text)
        self.faults: list[str] = []
        self.store = KeyStore(directory_of(self.config.data_dir))
        self.signers = Signers(self.store, self.config.mailauth, self.clock, self.faults.append)
        self.made = PolicyHarness(text, clock=self.clock, accounts=Store(), auth=AuthTerms(None, self.signers))

    def key(self, domain: str, algorithm: Any = "ed25519", after: float = 0.0) -> str:
        """The selector of a new key that signs after so many seconds."""
        moment = self.clock.time()
        made = self.store.generate(domain, algorithm, moment, signs=moment + after)
        self.signers.load()
        return made.selector

    def session(self, user: str = "", host: str = "192.0.2.1") -> SessionPolicy:
        session = self.made.session(host)
        if user:
            assert now(session.logged_in(Authenticated(user, "PLAIN"))).code == 235
        return session

    def submit(self, *chunks: bytes, session: SessionPolicy | None = None, to: Envelope = TO) -> bytes:
        """The stored message."""
        (reply,) = bring_in(session or self.session(), to, *chunks)
        assert reply.code == 250, reply
        return self.made.spool.stored[-1][1]

    def verified(self, message: bytes) -> DkimResult:
        """What a receiver says of a message, with every key of the store published."""
        zone = {
            key.record_name: {"TXT": [key.record]} for name in self.store.domains() for key in self.store.keys(name)
        }
        return answer(verify_dkim(message, self.clock.time()), zone)

    def signed_by(self, message: bytes) -> list[str]:
        found = self.verified(message)
        assert {each.result for each in found.signatures} <= {"pass"}, found
        return [f"{each.selector}.{each.domain}" for each in found.signatures]


@pytest.fixture
def signing(tmp_path: Path) -> SigningHarness:
    return SigningHarness(tmp_path)


def later(signing: SigningHarness, seconds: float) -> None:
    signing.clock.set_calendar(signing.clock.time() + seconds)


def message(author: str = "ann@x.test", body: str = "hello") -> bytes:
    return f"From: Ann <{author}>\r\nSubject: hi\r\nBcc: c@x.test\r\n\r\n{body}\r\n".encode()


def test_what_is_submitted_is_signed_as_it_is_stored(signing: SigningHarness) -> None:
    selector = signing.key("x.test")
    stored = signing.submit(message())
    assert stored.startswith(b"DKIM-Signature: v=1;")
    assert stored.index(b"\r\nReceived:") < stored.index(b"\r\nDate:")
    assert b"Bcc" not in stored
    assert signing.signed_by(stored) == [f"{selector}.x.test"]
    (found,) = signing.verified(stored).signatures
    assert {"from", "date", "message-id", "subject"} <= {each.lower() for each in found.fields}


def test_in_pieces_it_is_signed_alike(signing: SigningHarness) -> None:
    signing.key("x.test")
    whole = message(body="a line\r\n" * 300)
    stored = signing.submit(*(whole[at : at + 7] for at in range(0, len(whole), 7)))
    assert signing.verified(stored).result == "pass"


def test_without_a_key_nothing_changes(signing: SigningHarness) -> None:
    assert not signing.made.policy.signing().checks
    assert b"DKIM" not in signing.submit(message())


def test_both_algorithms_sign(signing: SigningHarness) -> None:
    signing.key("x.test", "rsa")
    signing.key("x.test", "ed25519")
    stored = signing.submit(message())
    assert sorted(each.algorithm for each in signing.verified(stored).signatures) == ["ed25519-sha256", "rsa-sha256"]


def test_the_nearest_domain_with_keys_signs(signing: SigningHarness) -> None:
    above, below = signing.key("x.test"), signing.key("news.x.test")
    assert signing.signed_by(signing.submit(message("ann@lists.x.test"))) == [f"{above}.x.test"]
    assert signing.signed_by(signing.submit(message("ann@a.news.x.test"))) == [f"{below}.news.x.test"]
    assert signing.signed_by(signing.submit(message("ann@notx.test"))) == []


def test_an_account_signs_only_as_an_author_that_it_may_be(signing: SigningHarness) -> None:
    signing.key("x.test")
    ann = signing.session("ann", "198.51.100.7")
    assert len(signing.signed_by(signing.submit(message(), session=ann))) == 1
    assert signing.signed_by(signing.submit(message("boss@x.test"), session=ann)) == []
    both = b"From: ann@x.test\r\nSender: boss@x.test\r\n\r\nhello\r\n"
    assert signing.signed_by(signing.submit(both, session=ann)) == []
    root = signing.session("root", "198.51.100.7")
    assert len(signing.signed_by(signing.submit(message("boss@x.test"), session=root))) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: no author\r\n\r\nhello\r\n",
        b"From: a@x.test\r\nFrom: b@x.test\r\n\r\nhello\r\n",
        b"no header section\r\n",
        b"\r\nhello\r\n",
    ],
)
def test_a_message_without_an_author_passes_unsigned(signing: SigningHarness, content: bytes) -> None:
    signing.key("x.test")
    assert b"DKIM-Signature" not in signing.submit(content, to=TO._replace(sender=None))


def test_the_author_that_is_added_is_signed_for(signing: SigningHarness) -> None:
    selector = signing.key("x.test")
    stored = signing.submit(b"no header section\r\n")
    assert b"\r\nFrom: ann@x.test\r\n" in stored
    assert signing.signed_by(stored) == [f"{selector}.x.test"]


def test_rotation_follows_the_time(signing: SigningHarness) -> None:
    old = signing.key("x.test")
    new = signing.key("x.test", after=2 * DAY)
    assert signing.signed_by(signing.submit(message())) == [f"{old}.x.test"]
    later(signing, 2 * DAY + 1)
    assert signing.signed_by(signing.submit(message())) == [f"{new}.x.test"]
    later(signing, KEEP)
    assert signing.signed_by(signing.submit(message())) == [f"{new}.x.test"]


def test_entries_choose_the_domain_and_the_selectors(tmp_path: Path) -> None:
    more = """
[[mailauth.signing]]
author = "x.test"
domain = "big.test"
[[mailauth.signing]]
author = "bulk@x.test"
domain = "x.test"
selectors = ["20270115e"]
[[mailauth.signing]]
author = "quiet.x.test"
"""
    signing = SigningHarness(tmp_path, more)
    own, big = signing.key("x.test"), signing.key("big.test")
    assert own == "20270115e"
    assert signing.signed_by(signing.submit(message())) == [f"{big}.big.test"]
    assert signing.signed_by(signing.submit(message("a@deep.x.test"))) == [f"{big}.big.test"]
    assert signing.signed_by(signing.submit(message("bulk@x.test"))) == [f"{own}.x.test"]
    assert signing.signed_by(signing.submit(message("a@quiet.x.test"))) == []


def test_a_signature_expires_if_the_configuration_says_so(tmp_path: Path) -> None:
    signing = SigningHarness(tmp_path, '[mailauth]\nexpires = "7d"\n')
    signing.key("x.test")
    stored = signing.submit(message())
    assert signing.verified(stored).result == "pass"
    later(signing, 7 * DAY + 2)
    assert "expired" in signing.verified(stored).reason


def test_a_key_that_cannot_be_read_leaves_the_keys_of_before(signing: SigningHarness) -> None:
    selector = signing.key("x.test")
    path = Path(signing.store.keys("x.test")[0].path)
    broken = path.with_name("broken.pem")
    broken.write_bytes(b"nonsense")
    os.utime(path.parent, ns=(1, 1))
    signing.signers.load()
    assert "mail of x.test is signed with the keys of before" in signing.faults[0]
    broken.unlink()
    assert signing.signed_by(signing.submit(message())) == [f"{selector}.x.test"]


def test_a_key_that_cannot_be_read_does_not_stop_the_others_at_a_start(tmp_path: Path) -> None:
    before = SigningHarness(tmp_path)
    selector = before.key("x.test")
    broken = Path(before.store.keys("x.test")[0].path).with_name("broken.pem")
    broken.write_bytes(b"")
    started = SigningHarness(tmp_path)
    started.signers.load()
    (fault,) = started.faults
    assert "or with its other keys" in fault
    assert str(broken) in fault
    stored = started.submit(message())
    broken.unlink()
    assert started.signed_by(stored) == [f"{selector}.x.test"]


def test_keys_that_are_made_later_are_found(signing: SigningHarness) -> None:
    signing.signers.load()
    assert not signing.signers.any
    signing.store.generate("x.test", "ed25519", 0.0, signs=0.0)
    signing.signers.load()
    assert signing.signers.any
