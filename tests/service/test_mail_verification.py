"""Verification of messages that come in: what is found, written, applied, and left alone."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Answer, Bytes, Question, Reply, SettingError, Verdict
from posthouse.mailauth import DkimKey, sign_dkim
from posthouse.mailauth.results import AuthenticationResults, read_results
from posthouse.message.headers import fields, split
from posthouse.message.trace_fields import is_quarantined
from posthouse.protocol.sasl import Authenticated
from posthouse.service import Daemon
from posthouse.service.config_file import parse
from posthouse.service.mailauth.auth_terms import AuthTerms
from posthouse.service.mailauth.listener_auth import verify_terms, verify_word
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.testing import ManualClock, StaticResolver

from .policy_harness import PolicyHarness, bring_in, envelope, now

CONFIG = """
hostname = "mx.here.test"
[[listener]]
bind = "127.0.0.1:0"
{listener}
[relay]
trusted_networks = ["203.0.113.0/24"]
[[domain]]
name = "here.test"
mailboxes = "any"
[mailauth]
{mailauth}
"""
KEY = DkimKey.generate("bank.test", "s", "ed25519")
ZONE: dict[str, dict[str, list[str]]] = {
    "bank.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": ["192.0.2.1"]},
    "s._domainkey.bank.test": {"TXT": [KEY.record()]},
    "_dmarc.bank.test": {"TXT": ["v=DMARC1; p=reject"]},
    "shop.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.9"]},
    "_dmarc.shop.test": {"TXT": ["v=DMARC1; p=quarantine"]},
    "plain.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.9"]},
}
TO = envelope("bob@here.test", sender="ann@bank.test")
OUTSIDE, INSIDE = "192.0.2.1", "203.0.113.5"


class VerifyHarness:
    """A listener that verifies."""

    def __init__(
        self,
        mailauth: str = 'verify = "enforce"',
        listener: str = 'kind = "mx"',
        *,
        zone: Mapping[str, Any] = ZONE,
        failing: tuple[str, ...] = (),
        resolver: Any = None,
    ) -> None:
        text = CONFIG.format(listener=listener, mailauth=mailauth)
        self.config = parse(text)
        self.clock = ManualClock()
        self.dns = resolver or StaticResolver(zone, failing=failing)
        known = MailResolver(self.dns, self.clock, questions=50)
        terms = verify_terms(self.config, self.config.listener[0], known, self.clock)
        self.made = PolicyHarness(text, clock=self.clock, accounts=True, auth=AuthTerms(terms))

    def send(self, *chunks: bytes, sender: str = "ann@bank.test", host: str = OUTSIDE, user: str = "") -> Reply:
        session = self.made.session(host, greet="LHLO" if self.config.listener[0].kind == "lmtp" else "EHLO")
        if user:
            assert now(session.logged_in(Authenticated(user, "PLAIN"))).code == 235
        (reply,) = bring_in(session, envelope("bob@here.test", sender=sender), *chunks)
        return reply

    @property
    def stored(self) -> bytes:
        return self.made.spool.stored[-1][1]

    @property
    def results(self) -> AuthenticationResults:
        """What the topmost field of the stored message says; it must be ours."""
        top = fields(split(self.stored).headers)[0]
        assert top.name == b"Authentication-Results"
        found = read_results(top.value)
        assert found.authserv_id == "mx.here.test"
        return found

    @property
    def words(self) -> dict[str, str]:
        return {each.method: each.result for each in self.results.results}

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [each for name, each in self.made.events if name == event]


def message(author: str = "ann@bank.test", more: bytes = b"") -> bytes:
    return more + f"From: Ann <{author}>\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\r\nhello\r\n".encode()


def signed(content: bytes, host: VerifyHarness, **how: Any) -> bytes:
    return sign_dkim(content, KEY, now=host.clock.time(), **how) + content


def test_a_message_that_proves_its_author_is_marked_and_kept_whole() -> None:
    host = VerifyHarness()
    content = signed(message(), host)
    assert host.send(content).code == 250
    assert host.stored.endswith(content)
    assert host.words == {"spf": "pass", "dkim": "pass", "dmarc": "pass"}
    spf, dkim, dmarc = host.results.results
    assert spf.property("smtp", "mailfrom") == "ann@bank.test"
    assert (dkim.property("header", "d"), dkim.property("header", "s")) == ("bank.test", "s")
    assert dmarc.property("header", "from") == "bank.test"
    (origin,) = host.made.spool.origins
    assert [str(each) for each in origin.verdicts] == ["spf=pass", "dkim=pass", "dmarc=pass"]
    assert host.logged("verified")[0]["results"] == "spf=pass dkim=pass dmarc=pass"


def test_in_pieces_it_is_found_alike() -> None:
    host = VerifyHarness()
    content = signed(message(more=b"Authentication-Results: mx.here.test; dmarc=pass\r\n"), host)
    assert host.send(*(content[at : at + 1] for at in range(len(content)))).code == 250
    assert host.words == {"spf": "pass", "dkim": "pass", "dmarc": "pass"}
    assert host.stored.count(b"mx.here.test; dmarc=pass") == 0


def test_a_forged_field_is_removed_and_others_stay() -> None:
    host = VerifyHarness('verify = "mark"')
    ours, other = (f"Authentication-Results: {name}; dmarc=pass\r\n".encode() for name in ("MX.here.test", "mx.else"))
    assert host.send(message(more=ours + other)).code == 250
    assert ours not in host.stored
    assert other in host.stored


def test_a_signature_that_covers_a_forged_field_is_verified_with_it() -> None:
    host = VerifyHarness()
    forged = b"Authentication-Results: mx.here.test; dmarc=pass\r\n"
    content = signed(message(more=forged), host, signed=["Authentication-Results"])
    assert host.send(content).code == 250
    assert host.words["dkim"] == "pass"
    assert forged not in host.stored


@pytest.mark.parametrize("host", [OUTSIDE, "192.0.2.66"])
def test_a_forged_author_is_refused(host: str) -> None:
    verify = VerifyHarness()
    reply = verify.send(message(), sender="x@plain.test", host=host)
    assert (reply.code, reply.enhanced) == (550, "5.7.26")
    assert "bank.test" in reply.text
    assert not verify.made.spool.stored
    assert verify.made.spool.receipts[0].ended == "aborted"
    (refused,) = verify.logged("refused")
    assert "dmarc fail" in refused["reason"]
    assert refused["results"] == "spf=fail dkim=none dmarc=fail(reject)"


def test_marking_refuses_nothing_and_says_what_would_be() -> None:
    host = VerifyHarness('verify = "mark"')
    assert host.send(message(), sender="x@plain.test").code == 250
    assert host.words == {"spf": "fail", "dkim": "none", "dmarc": "fail"}
    assert host.results.results[2].property("policy", "dmarc") == "reject"
    assert str(host.made.spool.origins[0].verdicts[2]) == "dmarc=fail(reject)"


@pytest.mark.parametrize(
    ("setting", "held", "field"),
    [
        ("", True, b""),
        ('quarantine = "hold"', True, b""),
        ('quarantine = "header"', False, b"Quarantine: yes\r\n"),
        ('quarantine = "folder"', False, b"Quarantine: yes\r\n"),
    ],
)
def test_quarantine_goes_where_the_setting_says(setting: str, held: bool, field: bytes) -> None:
    host = VerifyHarness(f'verify = "enforce"\n{setting}')
    assert host.send(message("ann@shop.test"), sender="x@plain.test").code == 250
    assert bool(host.made.spool.held[0]) is held
    assert host.stored.startswith(field or b"Authentication-Results:")
    assert is_quarantined(Bytes(host.stored)) is bool(field)


def test_a_quarantine_field_of_the_sender_does_not_count() -> None:
    host = VerifyHarness()
    assert host.send(b"Quarantine: yes\r\n" + message(), sender="ann@bank.test").code == 250
    assert b"\r\nQuarantine: yes\r\n" in host.stored
    assert not is_quarantined(Bytes(host.stored))


@pytest.mark.parametrize("name", ["new", "..", "a/b", "", ".", "/junk"])
def test_a_folder_is_one_name(name: str) -> None:
    with pytest.raises(SettingError, match="is no folder of a Maildir"):
        VerifyHarness(f'quarantine_folder = "{name}"')


@pytest.mark.parametrize(("policy", "code", "held"), [("none", 250, False), ("quarantine", 250, True)])
def test_an_exception_replaces_the_policy_and_is_named(policy: str, code: int, held: bool) -> None:
    exception = f'[[mailauth.exception]]\ndomain = "test"\npolicy = "{policy}"\nreason = "the old list"'
    host = VerifyHarness(f'verify = "enforce"\n{exception}')
    assert host.send(message(), sender="x@plain.test").code == code
    assert bool(host.made.spool.held[0]) is held
    dmarc = host.made.spool.origins[0].verdicts[2]
    assert (dmarc.result, dmarc.policy) == ("fail", policy)
    assert "exception for test: the old list" in dmarc.reason


def test_the_nearest_exception_counts() -> None:
    near = '[[mailauth.exception]]\ndomain = "bank.test"\npolicy = "none"\nreason = "near"\n'
    far = '[[mailauth.exception]]\ndomain = "test"\npolicy = "reject"\nreason = "far"\n'
    assert VerifyHarness(f'verify = "enforce"\n{far}{near}').send(message(), sender="x@plain.test").code == 250


def test_an_exception_can_refuse_what_its_owner_does_not() -> None:
    exception = '[[mailauth.exception]]\ndomain = "plain.test"\npolicy = "reject"\nreason = "never by others"\n'
    host = VerifyHarness(f'verify = "enforce"\n{exception}')
    assert host.send(message("a@plain.test"), sender="a@plain.test").code == 550


def test_spf_alone_refuses_only_where_it_is_asked_to() -> None:
    content = message("a@plain.test")
    assert VerifyHarness().send(content, sender="a@plain.test").code == 250
    host = VerifyHarness('verify = "enforce"\nspf_fail = "reject"')
    reply = host.send(content, sender="a@plain.test")
    assert (reply.code, reply.enhanced) == (550, "5.7.23")
    forwarded = signed(message(), host)
    assert host.send(forwarded, sender="a@plain.test").code == 250  # DMARC passes by the signature


@pytest.mark.parametrize(("setting", "code"), [("", 250), ('dns_failure = "defer"', 451)])
def test_a_dns_failure_is_no_refusal_for_good(setting: str, code: int) -> None:
    host = VerifyHarness(f'verify = "enforce"\n{setting}', failing=("_dmarc.bank.test",))
    reply = host.send(message(), sender="x@plain.test")
    assert reply.code == code
    if code == 250:
        assert host.words["dmarc"] == "temperror"


def test_a_dns_failure_that_changes_nothing_defers_nothing() -> None:
    host = VerifyHarness('verify = "enforce"\ndns_failure = "defer"', failing=("s._domainkey.bank.test",))
    assert host.send(signed(message(), host)).code == 250
    assert host.words == {"spf": "pass", "dkim": "temperror", "dmarc": "pass"}


@pytest.mark.parametrize(("host", "user"), [(INSIDE, ""), (OUTSIDE, "ann")])
def test_trusted_and_logged_in_clients_are_not_verified(host: str, user: str) -> None:
    verify = VerifyHarness(listener='kind = "mx"\nauth = "offered"\ncomplete_messages = false')
    content = message(more=b"Authentication-Results: mx.here.test; dmarc=pass\r\n")
    assert verify.send(content, sender="x@plain.test", host=host, user=user).code == 250
    assert verify.stored.endswith(content)
    assert not verify.dns.asked


def test_received_spf_is_written_where_it_is_wanted() -> None:
    host = VerifyHarness('verify = "mark"\nreceived_spf = true')
    assert host.send(message()).code == 250
    assert host.stored.startswith(b"Received-SPF: pass (mx.here.test: ")


def test_a_null_reverse_path_is_judged_by_the_greeting() -> None:
    host = VerifyHarness('verify = "mark"', zone={**ZONE, "client.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
    session = host.made.session(OUTSIDE)
    to = envelope("bob@here.test")._replace(sender=None)
    assert bring_in(session, to, message("MAILER@client.example"))[0].code == 250
    spf = host.results.results[0]
    assert (spf.result, spf.property("smtp", "helo")) == ("pass", "client.example")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header\r\n",
        b"From: a@bank.test\r\nFrom: b@shop.test\r\n\r\nx\r\n",
        b"Subject: no author\r\n\r\nx\r\n",
        b"From: \xff\xfe <\x80@\x80>\r\n\r\nx\r\n",
        b"From: a@bank.test",
        b"DKIM-Signature: v=1; nonsense\r\nDKIM-Signature:\r\nFrom: a@bank.test\r\n\r\n",
        b"From: a@" + b"x" * 300 + b".test\r\n\r\n",
        b"From: a@[192.0.2.1]\r\n\r\n",
    ],
)
def test_malformed_messages_are_judged_and_stored_as_they_are(content: bytes) -> None:
    host = VerifyHarness('verify = "mark"')
    assert host.send(content).code == 250
    assert host.stored.endswith(content)
    assert host.words["dmarc"] != "pass" or b"bank.test" in content
    assert not host.logged("fault")


@pytest.mark.parametrize(
    "author",
    [
        b"From: ann@bank.test\r\nFrom: eve@shop.test",
        b"From: ann@bank.test.",
        b"From: ann@bank.test@shop.test",
        b"From: ann@bank.test;eve@shop.test",
        b"Subject: no author",
    ],
)
def test_a_malformed_author_does_not_evade_the_policy(author: bytes) -> None:
    content = author + b"\r\n\r\nx\r\n"
    reply = VerifyHarness().send(content, sender="eve@shop.test", host="198.51.100.7")
    assert (reply.code, reply.enhanced) == (550, "5.6.0")
    assert VerifyHarness('verify = "mark"').send(content).code == 250


@pytest.mark.parametrize(
    ("setting", "listener", "more", "word"),
    [
        ("", 'kind = "mx"', "", ("mark", False)),
        ("", 'kind = "submission"', "", ("off", False)),
        ("", 'kind = "lmtp"', "", ("off", False)),
        ("", 'kind = "mx"', '[[domain]]\nname = "*"\nmailboxes = "any"\n', ("off", False)),
        ('verify = "enforce"', 'kind = "mx"', "", ("enforce", False)),
        ('verify = "enforce"', 'kind = "submission"', "", ("off", False)),
        ('verify = "enforce"', 'kind = "lmtp"\nverify = "mark"', "", ("mark", True)),
        ('verify = "enforce"', 'kind = "mx"\nverify = "off"', "", ("off", True)),
    ],
)
def test_which_listener_verifies(setting: str, listener: str, more: str, word: tuple[str, bool]) -> None:
    config = parse(CONFIG.format(listener=listener, mailauth=setting) + more)
    assert verify_word(config, config.listener[0]) == word


@pytest.mark.parametrize(
    ("listener", "host", "verified"),
    [
        ('kind = "mx"', "127.0.0.1", False),
        ('kind = "mx"', "::1", False),
        ('kind = "mx"', "::ffff:127.0.0.1", False),
        ('kind = "mx"', "10.0.0.1", True),
        ('kind = "mx"\nverify = "mark"', "127.0.0.1", True),
        ('kind = "mx"\nverify = "mark"', "203.0.113.1", False),
    ],
)
def test_clients_of_this_machine_are_verified_only_where_the_listener_says_so(
    listener: str, host: str, verified: bool
) -> None:
    assert VerifyHarness("", listener).made.policy.verifies(host) is verified


class SlowResolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.inner = StaticResolver(ZONE)
        self.released = asyncio.Event()
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        await self.released.wait()
        return await self.inner.ask(question)


def test_questions_are_asked_while_content_arrives_and_others_do_not_wait() -> None:
    async def scenario() -> None:
        slow = SlowResolver()
        host = VerifyHarness(resolver=slow)
        content = signed(message(), host)
        head = content.index(b"\r\n\r\n") + 4
        intake = host.made.session(OUTSIDE).intake(TO)
        assert not isinstance(intake, Verdict)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert {each.name for each in slow.asked} == {"bank.test"}  # SPF, before any content
        intake.write(content[:head])
        for _ in range(20):
            await asyncio.sleep(0)
        assert {each.name for each in slow.asked} == {"bank.test", "s._domainkey.bank.test", "_dmarc.bank.test"}
        intake.write(content[head:])
        waiting = intake.commit()
        assert not isinstance(waiting, tuple)
        task = asyncio.ensure_future(waiting)
        other = host.made.session(INSIDE).intake(TO)
        assert not isinstance(other, Verdict)
        other.write(message())
        answer = other.commit()
        (first,) = answer if isinstance(answer, tuple) else await answer
        assert first.reply.code == 250
        assert not task.done()
        slow.released.set()
        async with asyncio.timeout(30):
            (second,) = await task
        assert second.reply.code == 250
        assert len(slow.asked) == len(set(slow.asked))

    asyncio.run(scenario())


def test_a_client_that_vanishes_leaves_no_question_behind() -> None:
    async def scenario() -> None:
        slow = SlowResolver()
        host = VerifyHarness(resolver=slow)
        intake = host.made.session(OUTSIDE).intake(TO)
        assert not isinstance(intake, Verdict)
        intake.write(signed(message(), host))
        await asyncio.sleep(0)
        intake.abort()
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_daemon_puts_what_it_quarantines_into_the_folder(tmp_path: Path) -> None:
    text = f"""
hostname = "mx.here.test"
data_dir = "{tmp_path}/data"
[[listener]]
bind = "127.0.0.1:0"
verify = "enforce"
[[domain]]
name = "here.test"
mailboxes = ["bob"]
deliver = "maildir:{tmp_path}/{{local}}"
[mailauth]
quarantine = "folder"
quarantine_folder = "Spam"
"""

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.sendmail("ann@plain.test", ["bob@here.test"], message("ann@shop.test"))

    async def play() -> None:
        daemon = Daemon(parse(text), resolver=StaticResolver(ZONE), log=lambda *facts, **named: None)
        await daemon.start()
        await asyncio.to_thread(send, daemon.endpoints["mx"].port)
        async with asyncio.timeout(60):
            await daemon.wait_idle()
        await daemon.drain(5)

    asyncio.run(play())
    (file,) = (tmp_path / "bob" / "Spam" / "new").iterdir()
    assert b"\nQuarantine: yes\n" in file.read_bytes()
    assert not (tmp_path / "bob" / "new").exists()
