"""Arguments as callers give them: what can be meant works, and what cannot is refused in a clear sentence."""

from __future__ import annotations

import asyncio
import datetime
import email
import io
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from posthouse.core import Address, SettingError
from posthouse.mailauth import (
    DkimKey,
    Zone,
    answer,
    ask,
    check_dmarc,
    check_spf,
    seal_arc,
    sign_dkim,
    verify_arc,
    verify_dkim,
)

ANY: dict[str, object] = {}
KEY = DkimKey.generate("example.org", "s", "ed25519")
MESSAGE = b"From: ann@example.org\r\nSubject: lunch\r\n\r\nNoon?\r\n"
ZONE = Zone(
    {
        "example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"]},
        KEY.record_name: {"TXT": [KEY.record()]},
        "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]},
    }
)


@pytest.mark.parametrize(
    "ip",
    ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2001:DB8:0:0::1", "2001:db8::1%eth0", ip_address("2001:db8::1")],
)
@pytest.mark.parametrize(
    "sender", ["ann@example.org", "<ann@example.org>", Address("ann", "example.org"), "", None, "<>"]
)
def test_spf_takes_addresses_in_every_form(ip: object, sender: object) -> None:
    found = answer(check_spf(ip, sender, "example.org"), ZONE)  # type: ignore[arg-type]
    assert found.result == "pass"
    assert answer(check_spf(ip=ip, mail_from=sender, helo="example.org"), ZONE) == found  # type: ignore[arg-type]


@pytest.mark.parametrize("as_text", [lambda octets: octets, lambda octets: octets.replace(b"\r\n", b"\n")])
@pytest.mark.parametrize("given", [bytes, bytearray, memoryview, io.BytesIO, lambda octets: iter([octets])])
def test_a_message_is_taken_in_every_form(given: Callable[[bytes], object], as_text: Callable[[bytes], bytes]) -> None:
    message = as_text(MESSAGE)
    signed = sign_dkim(given(message), KEY, now=100, lifetime=10) + message  # type: ignore[arg-type]
    assert signed.count(b"\r\n") in (0, signed.count(b"\n"))
    assert answer(verify_dkim(given(signed), 105), ZONE).result == "pass"  # type: ignore[arg-type]
    assert answer(verify_dkim(given(signed), now=111), ZONE).result == "fail"  # type: ignore[arg-type]
    sealed = answer(seal_arc(given(signed), KEY, "mx.example.org", now=100), ZONE) + signed  # type: ignore[arg-type]
    assert answer(verify_arc(given(sealed), now=105), ZONE).result == "pass"  # type: ignore[arg-type]
    assert answer(check_dmarc(given(signed), dkim="example.org"), ZONE).result == "pass"  # type: ignore[arg-type]


def test_several_keys_may_be_any_iterable_and_a_lifetime_any_number() -> None:
    fields = sign_dkim(MESSAGE, {KEY.selector: KEY}.values(), now=100.9, lifetime=10.5)  # type: ignore[arg-type]
    assert b"t=100;" in fields
    assert b"x=110;" in fields


def test_a_password_may_be_text() -> None:
    assert DkimKey.from_pem("example.org", "s", KEY.pem(b"secret").decode(), "secret").public == KEY.public


WRONG: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "octets as sender": (lambda: check_spf("192.0.2.1", b"ann@example.org", "mx"), TypeError, "mail_from is text"),  # type: ignore[arg-type]
    "octets as HELO": (lambda: check_spf("192.0.2.1", "", b"mx.example.org"), TypeError, "helo is text"),  # type: ignore[arg-type]
    "no HELO": (lambda: check_spf("192.0.2.1", "", None), TypeError, "helo is text"),  # type: ignore[arg-type]
    "a number as address": (lambda: check_spf(3221225985, "", "mx"), ValueError, "no IP address"),  # type: ignore[arg-type]
    "a name as address": (lambda: check_spf("mx.example.org", "", "mx"), ValueError, "no IP address"),
    "text as message": (lambda: verify_dkim("From: x"), TypeError, "bytes, not str"),  # type: ignore[arg-type]
    "nothing as message": (lambda: verify_arc(None), TypeError, "not NoneType"),  # type: ignore[arg-type]
    "lines of text": (lambda: verify_dkim(["From: x"]), TypeError, "bytes, not str"),  # type: ignore[list-item]
    "a parsed message": (lambda: sign_dkim(email.message_from_bytes(MESSAGE), KEY), TypeError, "bytes, not str"),  # type: ignore[arg-type]
    "PEM as key": (lambda: sign_dkim(MESSAGE, KEY.pem()), TypeError, "DkimKey.from_pem"),  # type: ignore[arg-type]
    "PEM among keys": (lambda: sign_dkim(MESSAGE, [KEY, KEY.pem()]), TypeError, "DkimKey.from_pem"),  # type: ignore[list-item]
    "no key": (lambda: sign_dkim(MESSAGE, []), SettingError, "no key to sign with"),
    "a list of keys for a seal": (lambda: seal_arc(MESSAGE, [KEY], "mx"), TypeError, "not list"),  # type: ignore[arg-type]
    "octets as authserv-id": (lambda: seal_arc(MESSAGE, KEY, b"mx"), TypeError, "authserv_id is text"),  # type: ignore[arg-type]
    "a word as ARC result": (lambda: seal_arc(MESSAGE, KEY, "mx", arc="none"), TypeError, "verify_arc said"),  # type: ignore[arg-type]
    "one text as field names": (lambda: sign_dkim(MESSAGE, KEY, oversigned="From"), TypeError, "lists of field names"),
    "octets as field names": (lambda: sign_dkim(MESSAGE, KEY, signed=[b"Cc"]), TypeError, "list of field names"),  # type: ignore[list-item]
    "a pair as canonicalization": (
        lambda: sign_dkim(MESSAGE, KEY, canonicalization=("simple", "simple")),  # type: ignore[arg-type]
        TypeError,
        "canonicalization is text",
    ),
    "a datetime": (lambda: sign_dkim(MESSAGE, KEY, now=datetime.datetime.now()), TypeError, "timestamp"),  # type: ignore[arg-type]
    "a time before 1970": (lambda: sign_dkim(MESSAGE, KEY, now=-1), ValueError, "0 or more"),
    "no time": (lambda: sign_dkim(MESSAGE, KEY, now=float("nan")), ValueError, "0 or more"),
    "a number as verdict": (lambda: answer(check_dmarc("example.org", spf=5), ANY), TypeError, "spf is int"),  # type: ignore[arg-type]
    "octets as verdict": (
        lambda: answer(check_dmarc("example.org", dkim=b"example.org"), ANY),  # type: ignore[arg-type]
        TypeError,
        "dkim is bytes",
    ),
    "a list as zone": (lambda: answer(verify_dkim(MESSAGE), []), TypeError, "a zone is a mapping"),  # type: ignore[arg-type]
    "a path as key": (lambda: DkimKey.from_pem("example.org", "s", Path("k")), TypeError, "not PosixPath"),  # type: ignore[arg-type]
    "octets as domain": (lambda: DkimKey.from_pem(b"example.org", "s", KEY.pem()), TypeError, "domain is text"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG.values(), ids=[each.replace(" ", "-") for each in WRONG])
def test_a_wrong_argument_is_refused_in_words(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind, match=text):
        call()


def test_a_check_runs_once() -> None:
    check = check_spf("192.0.2.1", "ann@example.org", "mx")
    assert answer(check, ZONE).result == "pass"
    with pytest.raises(ValueError, match="run before"):
        answer(check, ZONE)
    with pytest.raises(ValueError, match="run before"):
        asyncio.run(ask(check, ZONE))
