"""Signed senders (BATV): signed on the way out, checked when a report comes in, and plain for everybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.core import Address, Envelope, Recipient, SettingError
from posthouse.protocol.commands import Rcpt
from posthouse.service.config_file import parse
from posthouse.service.directory.directory import Directory, Expanded, Unknown
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.mailauth.path_secrets import ROTATE
from posthouse.service.mailauth.reverse_paths import ReversePaths
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing import ManualClock

from .policy_harness import PolicyHarness, address, now

CONFIG = """
hostname = "mx.x.test"
data_dir = "{root}"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["203.0.113.0/24"]
[[domain]]
name = "x.test"
mailboxes = ["ann"]
aliases = {{ team = ["ann", "bob@far.test"] }}
[[domain]]
name = "y.test"
mailboxes = ["ann"]
[mailauth]
srs_domain = "x.test"
[[mailauth.batv]]
domain = "x.test"
{more}
"""
DAY = 86_400.0


class Signing:
    """The reverse-paths of a configuration, its directory, and a listener."""

    def __init__(self, root: Path, more: str = "") -> None:
        text = CONFIG.format(root=root, more=more)
        self.clock = ManualClock()
        config = parse(text)
        self.paths = ReversePaths(config, self.clock)
        self.paths.load()
        self.directory = Directory(config, self.paths.home)
        self.made = PolicyHarness(text, clock=self.clock)
        self.made.policy.directory = self.directory
        self.made.policy.report_refused = self.paths.report_refused

    def leaving(self, sender: str | None, *to: str) -> str:
        """The sender with which a message leaves, "" for the null reverse-path."""
        path = None if sender is None else address(sender)
        made = self.paths.leaving(Envelope(path, tuple(Recipient(address(each)) for each in to or ("bob@far.test",))))
        return "" if made.sender is None else str(made.sender)

    def rcpt(self, recipient: str, sender: str | None = None, host: str = "192.0.2.1") -> tuple[int, str]:
        """The code of the reply to RCPT, and the reason."""
        session: SessionPolicy = self.made.session(host)
        path = None if sender is None else address(sender)
        answer = session.rcpt(Envelope(path, ()), Rcpt(address(recipient)), ())
        reasons = [facts["reason"] for event, facts in self.made.events if event == "refused"]
        return now(answer).code, reasons[-1] if reasons else ""


def test_a_report_to_what_was_sent_comes_in_and_others_do_not(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    signed = here.leaving("ann@x.test")
    assert signed.startswith("prvs=0")
    assert signed.endswith("=ann@x.test")
    assert here.rcpt(signed)[0] == 250
    assert here.rcpt(signed.upper().replace("X.TEST", "x.test"))[0] == 250
    code, reason = here.rcpt("ann@x.test")
    assert (code, reason) == (550, "batv: the recipient of the report has no signature")
    forged = signed[:9] + ("0" if signed[9] != "0" else "1") + signed[10:]
    assert here.rcpt(forged) == (550, "batv: the signature of the report's recipient is not ours")
    here.clock.set_calendar(here.clock.time() + 15 * DAY)
    assert here.rcpt(signed) == (550, "batv: the signature of the report's recipient is older than 14 days")


@pytest.mark.parametrize(
    ("recipient", "sender", "host"),
    [
        ("ann@x.test", "bob@far.test", "192.0.2.1"),  # no report
        ("ann@y.test", None, "192.0.2.1"),  # a domain that is not signed
        ("postmaster@x.test", None, "192.0.2.1"),
        ("ann@x.test", None, "203.0.113.5"),  # a host of ours
    ],
)
def test_other_mail_comes_in_as_before(tmp_path: Path, recipient: str, sender: str | None, host: str) -> None:
    assert Signing(tmp_path).rcpt(recipient, sender, host)[0] == 250


def test_reports_are_accepted_where_the_setting_says_so(tmp_path: Path) -> None:
    assert Signing(tmp_path, 'reports = "accept"').rcpt("ann@x.test")[0] == 250


def test_a_report_to_a_forwarded_sender_goes_home(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    led = Recipient(Address("bob", "far.test"), originals=(Address("team", "x.test"),))
    sender = here.paths.leaving(Envelope(Address("eve", "else.test"), (led,))).sender
    assert sender is not None
    assert sender.local.startswith("SRS0=")
    assert here.rcpt(str(sender))[0] == 251 or here.rcpt(str(sender))[0] == 250


@pytest.mark.parametrize(
    ("sender", "to"),
    [
        ("ann@x.test", ("ann@x.test",)),  # nothing leaves
        ("ann@y.test", ()),
        (None, ()),
        (f"{'a' * 48}@x.test", ()),  # no room for a signature
    ],
)
def test_a_sender_that_is_not_signed(tmp_path: Path, sender: str | None, to: tuple[str, ...]) -> None:
    assert Signing(tmp_path).leaving(sender, *to) == (sender or "")


@pytest.mark.parametrize(
    ("to", "plain"),
    [
        (("club@lists.test",), True),
        (("x@deep.lists.test",), True),
        (("Owner@other.test",), True),
        (("bob@far.test", "club@lists.test"), True),  # one transaction has one sender
        (("ann@y.test", "bob@far.test"), False),
        (("bob@other.test",), False),
        (("x@nolists.test",), False),
    ],
)
def test_mail_to_certain_recipients_leaves_unsigned(tmp_path: Path, to: tuple[str, ...], plain: bool) -> None:
    here = Signing(tmp_path, 'unsigned_to = ["Lists.test", "owner@Other.test"]')
    assert (here.leaving("ann@x.test", *to) == "ann@x.test") is plain
    assert here.rcpt("ann@x.test")[0] == 550  # what such a recipient reports has no signature


def test_an_address_too_long_to_be_signed_takes_reports(tmp_path: Path) -> None:
    code, reason = Signing(tmp_path).rcpt(f"{'a' * 48}@x.test")
    assert (code, reason) == (550, "no such name in a domain of ours")


def test_a_signed_address_is_the_mailbox_for_everybody(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    signed = address(here.leaving("ann@x.test"))
    found = here.directory.resolve(signed)
    assert isinstance(found, Expanded)
    made = expand_envelope(here.directory, Envelope(Address("bob", "far.test"), (Recipient(signed),)))
    (recipient,) = made[0].recipients
    assert (str(recipient.address), recipient.originals) == ("ann@x.test", (signed,))
    team = here.directory.resolve(address("prvs=0123abcdef=team@x.test"))
    assert isinstance(team, Expanded)
    assert [str(each.address) for each in team.targets] == ["ann@x.test", "bob@far.test"]
    assert isinstance(here.directory.resolve(address("prvs=0123abcdef=nobody@x.test")), Unknown)
    assert isinstance(here.directory.resolve(address("prvs=0123abcdef=ann@y.test")), Unknown)


def test_secrets_change_and_old_signatures_count_on(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    here.clock.set_calendar(here.clock.time() + ROTATE - 1)
    signed = here.leaving("ann@x.test")
    here.clock.set_calendar(here.clock.time() + 2 * DAY)
    here.paths.load()
    here.clock.set_calendar(here.clock.time() + 2 * DAY)
    here.paths.load()
    assert here.leaving("ann@x.test")[9:15] != signed[9:15]
    assert here.rcpt(signed)[0] == 250
    assert (tmp_path / "batv-secrets").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "batv-secrets").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ('[[mailauth.batv]]\ndomain = "x.test"', "there are 2 entries for x.test"),
        ('[[mailauth.batv]]\ndomain = "far.test"', "far.test is no domain of this server"),
    ],
)
def test_a_domain_is_ours_and_stands_once(tmp_path: Path, more: str, cause: str) -> None:
    with pytest.raises(SettingError, match=cause):
        Signing(tmp_path, more)
