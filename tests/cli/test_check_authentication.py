"""``posthouse check message`` with a client, and ``posthouse check domain``: results, remedies, exit codes."""

from __future__ import annotations

import email.utils
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posthouse.mailauth import DkimKey, answer, seal_arc, sign_dkim

KEY = DkimKey.generate("example.org", "s1", "ed25519")
RECORDS: dict[str, Any] = {
    "example.org": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mx.example.org"]},
    "mx.example.org": {"A": ["192.0.2.1"]},
    "s1._domainkey.example.org": {"TXT": [KEY.record()]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.org"]},
    "bounces.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
}


class Checks:
    """The commands on a message and a zone in files."""

    def __init__(self, ran: Any, root: Path) -> None:
        self.ran, self.root = ran, root
        date = email.utils.format_datetime(datetime.now(UTC))
        self.content = (
            f"From: ann@example.org\r\nTo: bob@example.net\r\nDate: {date}\r\nMessage-ID: <1@example.org>\r\n"
            "Subject: hello\r\n\r\nHello\r\n"
        ).encode()

    def message(self, *options: str, content: bytes = b"", code: int, **zone: Any) -> Any:
        file = self.root / "one.eml"
        file.write_bytes(content or self.content)
        done = self.ran("check", "message", str(file), "--zone", self.zone(zone), *options)
        assert done.code == code, done.out + done.err
        return done

    def domain(self, *options: str, code: int, **zone: Any) -> Any:
        done = self.ran("check", "domain", "example.org", "--zone", self.zone(zone), *options)
        assert done.code == code, done.out + done.err
        return done

    def zone(self, names: dict[str, Any]) -> str:
        path = self.root / "zone.json"
        path.write_text(json.dumps({**RECORDS, **{name.replace("__", "."): each for name, each in names.items()}}))
        return str(path)


@pytest.fixture
def checks(ran: Any, tmp_path: Path) -> Checks:
    return Checks(ran, tmp_path)


def test_a_message_that_receivers_trust(checks: Checks) -> None:
    content = sign_dkim(checks.content, KEY) + checks.content
    options = ("--ip", "192.0.2.1", "--from", "ann@example.org", "--helo", "mx.example.org")
    out = checks.message(*options, content=content, code=0).out
    for word in ("SPF", "DKIM", "DMARC"):
        assert any(line.split()[:2] == [word, "pass"] for line in out.splitlines()), word
    assert "A mx.example.org: 192.0.2.1" in out
    found = json.loads(checks.message(*options, "--json", content=content, code=0).out)
    assert found["findings"] == []
    assert (found["spf"]["result"], found["spf"]["path"]) == ("pass", ["example.org: mx"])
    assert (found["dkim"]["result"], found["dkim"]["signatures"][0]["selector"]) == ("pass", "s1")
    assert (found["arc"]["result"], found["dmarc"]["result"], found["advice"]) == ("none", "pass", [])


def test_a_message_from_a_host_that_is_not_allowed(checks: Checks) -> None:
    out = checks.message("--ip", "192.0.2.9", "--from", "ann@example.org", code=1).out
    assert 'example.org. IN TXT "v=spf1 ip4:192.0.2.9 mx -all"' in out
    assert "posthouse dkim keygen example.org" in out
    assert "Receivers refuse it." in out


def test_spf_that_is_not_aligned(checks: Checks) -> None:
    out = checks.message("--ip", "192.0.2.1", "--from", "x@bounces.test", code=1).out
    assert "SPF passed for bounces.test: use an address of example.org in MAIL FROM, or sign with d=example.org." in out


def test_without_a_host_dkim_and_dmarc_are_checked(checks: Checks) -> None:
    content = sign_dkim(checks.content, KEY) + checks.content
    found = json.loads(checks.message("--json", content=content, code=0).out)
    assert found["spf"] is None
    assert found["dmarc"]["result"] == "pass"


def test_without_a_host_nothing_is_said_to_be_refused(checks: Checks) -> None:
    out = checks.message(code=0).out
    [row] = [line for line in out.splitlines() if line.startswith("DMARC ")]
    assert row.split()[:3] == ["DMARC", "unknown", "example.org"]
    assert "without the address of the sending host (--ip) it cannot be judged" in row
    assert "warning: Whether the message passes DMARC is not known: no signature passed" in out
    assert "give the host and the sender with --ip and --from" in out
    assert "Receivers refuse it" not in out
    found = json.loads(checks.message("--json", code=0).out)["dmarc"]
    assert (found["result"], found["disposition"], found["policy"]) == ("unknown", "", "reject")
    zh = checks.message("--lang", "zh", code=0).out
    assert "不给出发送主机的地址（--ip）就无法判断" in zh
    assert "不知道邮件能否通过 DMARC：没有与 example.org 对齐的签名通过，而 SPF 没有检查。" in zh
    assert "用 --ip 和 --from 给出发送主机和发件人" in zh
    assert "Receivers refuse it" in checks.message("--ip", "192.0.2.9", "--from", "x@bounces.test", code=1).out


def test_without_a_sender_nothing_is_said_to_be_refused(checks: Checks) -> None:
    out = checks.message("--ip", "192.0.2.9", code=0).out
    [row] = [line for line in out.splitlines() if line.startswith("DMARC ")]
    assert row.split()[:2] == ["DMARC", "unknown"]
    assert "without the sender (--from) it cannot be judged" in row
    assert "or give the sender with --from" in out
    assert "不给出发件人（--from）就无法判断" in checks.message("--ip", "192.0.2.9", "--lang", "zh", code=0).out
    signed = sign_dkim(checks.content, KEY) + checks.content
    assert "DMARC  pass" in checks.message("--ip", "192.0.2.9", content=signed, code=0).out


def test_what_another_method_makes_good_is_a_warning(checks: Checks) -> None:
    content = sign_dkim(checks.content, KEY) + checks.content
    options = ("--ip", "192.0.2.9", "--from", "ann@example.org")
    assert "warning: SPF is fail for example.org" in checks.message(*options, content=content, code=0).out
    checks.message(*options, "--strict", content=content, code=1)


def test_a_message_that_was_changed_on_its_way(checks: Checks) -> None:
    content = sign_dkim(checks.content, KEY) + checks.content.replace(b"Hello", b"Hallo")
    out = checks.message(content=content, code=1).out
    assert "The signature of example.org is fail: the body hash did not verify" in out
    assert "nothing changes the message after it is signed" in out


def test_a_chain_of_seals_is_shown_where_there_is_one(checks: Checks) -> None:
    sealed = answer(seal_arc(checks.content, KEY, "mx.example.org", results=[], now=1_764_500_000), RECORDS)
    options = ("--ip", "192.0.2.1", "--from", "ann@example.org")
    out = checks.message(*options, content=sealed + checks.content, code=0).out
    assert any(line.split()[:3] == ["ARC", "pass", "example.org"] for line in out.splitlines())
    broken = sealed + checks.content.replace(b"Hello", b"Hallo")
    out = checks.message(*options, content=broken, code=0).out
    assert "The ARC chain is not valid: " in out


def test_a_file_with_bare_line_ends_is_checked_as_it_would_be_sent(checks: Checks) -> None:
    content = sign_dkim(checks.content, KEY) + checks.content
    checks.message(content=content.replace(b"\r\n", b"\n"), code=0)


def test_a_domain_without_a_policy(checks: Checks) -> None:
    out = checks.message("--ip", "192.0.2.1", "--from", "ann@example.org", code=0, _dmarc__example__org={}).out
    assert '_dmarc.example.org. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.org"' in out


def test_options_that_need_a_host_or_a_file_say_so(checks: Checks) -> None:
    assert "add --ip" in checks.message("--from", "ann@example.org", code=64).err
    assert "is no IP address; give the client's address" in checks.message("--ip", "mx.example.org", code=65).err
    done = checks.ran("check", "domain", "example.org", "--zone", str(checks.root / "absent"))
    assert done.code == 66
    assert "name a file with DNS records in JSON" in done.err


def test_a_domain_whose_records_are_right(checks: Checks) -> None:
    out = checks.domain("--selector", "s1", code=0).out
    assert "SPF      one record, 1 of 10 look-ups" in out
    assert "DKIM     1 of 1 keys found" in out
    assert "error" not in out


def test_a_domain_with_a_wrong_record(checks: Checks) -> None:
    wrong = {"example__org": {"TXT": ["v=spf1 mx +all"], "MX": ["10 mx.example.org"]}}
    out = checks.domain(code=1, **wrong).out
    assert "error: +all allows every host to send for the domain." in out
    assert 'example.org. IN TXT "v=spf1 mx ~all"' in out
    found = json.loads(checks.domain("--json", code=1, **wrong).out)
    (spf,) = [each for each in found["topics"] if each["topic"] == "spf"]
    assert [each["level"] for each in spf["findings"]] == ["error"]


def test_what_is_no_domain_is_refused(ran: Any) -> None:
    done = ran("check", "domain", "localhost", "--zone", "/dev/null")
    assert done.code == 65


def test_control_characters_of_a_record_do_not_reach_the_terminal(checks: Checks) -> None:
    wrong = {
        "example__org": {"TXT": ["v=spf1 \x1b[2J a", "v=spf1 b\x07"]},
        "_dmarc__example__org": {"TXT": ["v=DMARC1; p=\x1b"]},
    }
    for done in (
        checks.domain(code=1, **wrong),
        checks.message("--ip", "192.0.2.1", "--from", "a\x1b@example.org", code=1, **wrong),
    ):
        assert "\x1b" not in done.out
        assert "\x07" not in done.out


def test_in_chinese(checks: Checks) -> None:
    out = checks.message("--ip", "192.0.2.9", "--from", "ann@example.org", "--lang", "zh", code=1).out
    assert "检查" in out
    assert "错误: example.org 的 SPF 结果为 fail：example.org 的 SPF 记录中的 -all 与 192.0.2.9 相符。" in out
    assert "如果 192.0.2.9 是你的主机，请发布下面这条记录。" in out
    assert 'example.org. IN TXT "v=spf1 ip4:192.0.2.9 mx -all"' in out
    assert "接收SMTP会拒绝它。" in out
    out = checks.domain("--lang", "zh", code=0, _dmarc__example__org={"TXT": ["v=DMARC1; p=none"]}).out
    assert "提示: 策略为 none：冒用该域的邮件，接收SMTP也会照常投递。" in out
    assert "MX       1 条 MX 记录" in out
