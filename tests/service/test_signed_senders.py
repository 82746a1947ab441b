"""Signed senders (BATV): signed on the way out, checked when a report comes in, and plain for everybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.core import Address, Envelope, Recipient, SettingError
from posthouse.protocol.commands import Rcpt
from posthouse.service.config_file import parse
from posthouse.service.directory.directory import Directory, Expanded, Unknown
from posthouse.service.directory.expansion import expand_envelope, expansions
from posthouse.service.mailauth.path_secrets import ROTATE
from posthouse.service.mailauth.reverse_paths import ReversePaths
from posthouse.service.operations.explain_text import address_kind_text
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing import ManualClock

from .operation_harness import OperationHarness, run
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

    def forwarding(self, sender: str = "eve@else.test") -> str:
        """The sender with which a message leaves that an alias sends on."""
        led = Recipient(Address("bob", "far.test"), originals=(Address("team", "x.test"),))
        return str(self.paths.leaving(Envelope(address(sender), (led,))).sender)

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


def test_the_sender_of_forwarded_mail_counts_for_21_days_though_it_was_asked_about_before(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    sender = here.forwarding()
    assert here.rcpt(sender)[0] == 251
    here.clock.set_calendar(here.clock.time() + 22 * DAY)
    assert here.rcpt(sender) == (550, "srs: the SRS address is older than 21 days")


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        ("SRS0=abcdef=JT=else.test=eve@x.test", "srs: the hash of the SRS address is not ours"),
        ("SRS0=abcdef@x.test", "srs: the SRS address does not have its four parts"),
        ("SRS1=abcdef=else.test==a=b=c=d@x.test", "srs: the hash of the SRS1 address is not ours"),
    ],
)
def test_the_log_says_why_a_sender_of_forwarded_mail_is_none(tmp_path: Path, recipient: str, reason: str) -> None:
    assert Signing(tmp_path).rcpt(recipient) == (550, reason)


def test_histories_tell_marked_senders_from_aliases_and_moved_mailboxes(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    for recipient, kind in (
        (here.forwarding(), "srs"),
        (here.leaving("ann@x.test"), "signed"),
        (here.leaving("team@x.test"), "alias"),
    ):
        envelope = Envelope(None, (Recipient(address(recipient)),))
        stored = expand_envelope(here.directory, envelope)
        found = expansions(here.directory, envelope, stored, ["id"] * len(stored))
        assert [each.kind for each in found[0]] == [kind]


def test_an_address_is_explained_as_the_sessions_understand_it(tmp_path: Path) -> None:
    here = Signing(tmp_path)
    forged = "SRS0=abcdef=JT=else.test=eve@x.test"
    asked = (here.forwarding(), here.leaving("ann@x.test"), "ann@x.test", forged, "ann@y.test")

    async def scenario() -> list[tuple[str, str, str, str]]:
        desk = await OperationHarness(text=CONFIG.format(root=tmp_path, more=""))
        desk.clock.set_calendar(here.clock.time())
        found = []
        for each in asked:
            forecast = (await desk.do("explain", what=each)).address
            chinese = address_kind_text(forecast.facts, "zh")
            found.append((forecast.kind, forecast.reply[:3], forecast.explanation, chinese))
        return found

    srs, signed, plain, none, unsigned = run(scenario)
    assert srs[:2] == ("srs", "251")
    assert srs[2].endswith("mail to it goes to the original sender, eve@else.test.")
    assert srs[3].endswith("发往它的邮件转给原发件人 eve@else.test。")
    assert signed[:2] == ("signed", "250")
    assert signed[2].endswith("mail to it is mail to ann@x.test.")
    assert plain[:2] == ("mailbox", "250")
    refused = "A delivery report to it (MAIL FROM:<>) is answered 550 5.7.1: batv: the recipient of the report has no"
    assert refused in plain[2]
    assert plain[3].endswith("550 5.7.1：batv：报告的收件人没有签名。")
    assert none[:2] == ("unknown", "550")
    assert none[2].endswith("(srs: the hash of the SRS address is not ours).")
    assert none[3].endswith("（srs：SRS 地址中的散列值不是本机所写）。")
    assert "report" not in unsigned[2]


def test_explaining_an_address_makes_no_secrets(tmp_path: Path) -> None:
    async def scenario() -> str:
        desk = await OperationHarness(text=CONFIG.format(root=tmp_path / "data", more=""))
        forecast = (await desk.do("explain", what="ann@x.test")).address
        return str(forecast.kind)

    assert run(scenario) == "mailbox"
    assert not (tmp_path / "data").exists()
