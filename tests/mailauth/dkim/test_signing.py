"""Signing: what is signed, how the field is written, which keys sign; and keys with their records."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import LocalError, SettingError
from posthouse.mailauth import DkimKey, DkimSigner, SigningOptions, answer, sign_dkim
from posthouse.mailauth.dkim import (
    OVERSIGNED,
    Canonicalization,
    HeaderSection,
    MessageHasher,
    check_published,
    folded_tags,
    read_key_record,
    record_strings,
    zone_lines,
)
from posthouse.mailauth.tag_list import read_tags

from .messages import AWKWARD, ED25519, HEAD, MESSAGE, RSA, ZONE, only, verified

NOW = 1_800_000_000


def tags_of(field: bytes) -> dict[str, str]:
    """The tags of one signature field."""
    name, _, value = field.removesuffix(b"\r\n").partition(b":")
    assert name == b"DKIM-Signature"
    return read_tags(value)


def test_the_field() -> None:
    field = sign_dkim(MESSAGE, RSA, now=NOW)
    assert field.endswith(b"\r\n")
    assert max(len(line) for line in field.split(b"\r\n")) <= 78
    tags = tags_of(field)
    assert {name: tags[name] for name in "vacdst"} == {
        "v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.org", "s": "rsa1", "t": str(NOW)
    }  # fmt: skip
    assert list(tags)[-2:] == ["bh", "b"]
    assert "l" not in tags
    assert "x" not in tags
    assert only(verified(field + MESSAGE)).result == "pass"


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("header", Canonicalization)
@pytest.mark.parametrize("body", Canonicalization)
def test_what_is_signed_verifies(name: str, header: Canonicalization, body: Canonicalization) -> None:
    message = AWKWARD[name]
    signed = sign_dkim(message, [RSA, ED25519], canonicalization=f"{header}/{body}") + message
    assert [each.result for each in verified(signed).signatures] == ["pass", "pass"]
    middle = len(message) // 2
    assert sign_dkim([message[:middle], message[middle:]], ED25519, now=1) == sign_dkim(message, ED25519, now=1)


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n ", b"\r", b"\n", b"\xff", b"."]), max_size=40))
def test_any_body_that_is_signed_verifies(body: list[bytes]) -> None:
    message = HEAD + b"\r\n" + b"".join(body)
    for c in ("simple/simple", "relaxed/relaxed"):
        assert verified(sign_dkim(message, ED25519, canonicalization=c) + message).result == "pass"


def test_oversigning() -> None:
    field = sign_dkim(b"Sender: x@example.org\r\nSender: y@example.org\r\n" + MESSAGE, ED25519)
    names = tags_of(field)["h"].lower().split(":")
    names = [name.strip() for name in names]
    for name in OVERSIGNED:
        present = 1 if name in ("From", "To", "Subject", "Date", "Message-ID") else 0
        assert names.count(name.lower()) == present + 1, name
    assert names.count("sender") == 2
    assert names.count("references") == 0
    signed = field + MESSAGE
    for added in (b"Subject: other\r\n", b"Reply-To: eve@example.com\r\n", b"Content-Type: text/html\r\n"):
        assert verified(sign_dkim(MESSAGE, ED25519) + added + MESSAGE).result == "fail"
    assert verified(b"List-Id: <list.example.org>\r\n" + sign_dkim(MESSAGE, ED25519) + MESSAGE).result == "pass"
    assert verified(signed).result == "fail"  # the Sender fields are gone


def test_other_fields() -> None:
    field = sign_dkim(MESSAGE, ED25519, oversigned=["X-A"], signed=["Subject", "X-B"])
    assert tags_of(field)["h"] == "From:From:X-A:Subject"
    assert verified(field + MESSAGE).result == "pass"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a;b", "DKIM-Signature", "return-path", "Received", "ä", "a\r\nb"])
def test_fields_that_cannot_be_signed(name: str) -> None:
    with pytest.raises(SettingError, match="cannot be signed"):
        sign_dkim(MESSAGE, ED25519, signed=[name])


@pytest.mark.parametrize("canonicalization", ["relaxed/relaxed", "simple/simple"])
def test_one_key_signs_messages_that_differ(canonicalization: str) -> None:
    many = b"".join(b"To: %d@example.net\r\n" % each for each in range(70))
    for now in (9, 999_999_999, NOW, 99_999_999_999):
        for lifetime in (None, 1, 90_000_000_000):
            for identity in ("", "a%b%%=@example.org", "x?y@example.org"):
                for message in (MESSAGE, b"To: x@example.net\r\n" + MESSAGE, many + MESSAGE):
                    field = sign_dkim(
                        message,
                        ED25519,
                        now=now,
                        lifetime=lifetime,
                        identity=identity,
                        canonicalization=canonicalization,
                    )
                    assert max(map(len, field.split(b"\r\n"))) <= 78
                    found = only(verified(field + message, now=now))
                    assert found.result == "pass", found.reason
                    assert found.time == now
                    assert found.expires == (lifetime and now + lifetime)
                    assert found.identity == (identity or "@example.org")


def test_expiry_and_identity() -> None:
    field = sign_dkim(MESSAGE, RSA, lifetime=60, identity="ann of=x@mail.example.org", now=NOW)
    assert tags_of(field)["x"] == str(NOW + 60)
    assert tags_of(field)["i"] == "ann=20of=3Dx@mail.example.org"
    assert only(verified(field + MESSAGE, now=NOW + 60)).identity == "ann of=x@mail.example.org"
    assert verified(field + MESSAGE, now=NOW + 61).result == "fail"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"identity": "ann@example.com"}, "not in the domain"),
        ({"identity": "ann@badexample.org"}, "not in the domain"),
        ({"identity": "example.org"}, "not in the domain"),
        ({"identity": "a\r\nb@example.org"}, "not in the domain"),
        ({"lifetime": 0}, "expire"),
        ({"canonicalization": "relaxed"}, "no canonicalization"),
        ({"canonicalization": "strict/simple"}, "no canonicalization"),
    ],
)
def test_wrong_options(options: dict[str, str], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        sign_dkim(MESSAGE, RSA, **options)  # type: ignore[arg-type]


def test_messages_that_cannot_be_signed() -> None:
    for message in (b"Subject: x\r\n\r\n", b"", b"no header"):
        with pytest.raises(LocalError, match="no From field"):
            sign_dkim(message, RSA)
    with pytest.raises(LocalError, match="too long"):
        sign_dkim(b"From: a\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", RSA)


def test_the_message_is_read_once() -> None:
    def chunks() -> Iterator[bytes]:
        yield MESSAGE[:10]
        yield MESSAGE[10:]

    assert sign_dkim(chunks(), ED25519, now=1) == sign_dkim(MESSAGE, ED25519, now=1)


def test_a_text_file_is_signed_as_it_will_be_sent() -> None:
    text = MESSAGE.replace(b"\r\n", b"\n")
    field = sign_dkim(text, ED25519, now=1)
    assert b"\r" not in field
    assert field.replace(b"\n", b"\r\n") == sign_dkim(MESSAGE, ED25519, now=1)


def test_keys_chosen_by_the_header_section() -> None:
    asked: list[bytes] = []

    def keys(header: HeaderSection) -> list[DkimKey]:
        asked.append(header.fields[header.places(b"from")[0]].value)
        return [ED25519] if b"example.org" in asked[-1] else []

    for message, signatures in ((MESSAGE, 1), (MESSAGE.replace(b"example.org", b"example.com"), 0)):
        signer = DkimSigner(keys, now=NOW)
        hasher = MessageHasher(signer.plan)
        hasher.write(message)
        hasher.finish()
        fields = signer.fields(hasher)
        assert fields.count(b"DKIM-Signature:") == signatures
        assert verified(fields + message).result == ("pass" if signatures else "none")
    assert asked == [b"Ann <ann@example.org>", b"Ann <ann@example.com>"]


def test_no_keys_need_no_from_field() -> None:
    signer = DkimSigner([], SigningOptions())
    hasher = MessageHasher(signer.plan)
    hasher.write(b"Subject: x\r\n\r\n")
    hasher.finish()
    assert signer.fields(hasher) == b""


@given(
    st.dictionaries(
        st.sampled_from(["v", "a", "d", "h", "bh", "i"]),
        st.lists(st.text("abz./=", min_size=1, max_size=40), min_size=1, max_size=9).map(":".join),
    )
)
def test_fields_are_folded(tags: dict[str, str]) -> None:
    field = folded_tags("ARC-Seal", tags.items())
    assert {**tags, "b": ""} == {
        name: re.sub(r": ", ":", value) for name, value in read_tags(field.partition(b":")[2]).items()
    }
    assert max(map(len, field.split(b"\r\n"))) <= 78


# Keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_a_key_is_written_and_read(key: DkimKey) -> None:
    for again in (
        DkimKey.from_pem("example.org", key.selector, key.pem()),
        DkimKey.from_pem("Example.ORG.", key.selector, key.pem().decode()),
        DkimKey.from_pem("example.org", key.selector, key.pem(b"secret"), b"secret"),
    ):
        assert again.record() == key.record()
        assert again.record_name == key.record_name
        assert (again.kind, again.bits, again.algorithm) == (key.kind, key.bits, key.algorithm)
    secret = "".join(key.pem().decode().splitlines()[1:-1])
    assert secret[40:80] not in repr(key)
    assert repr(key) == f"<DkimKey {key.record_name} {key.kind} {key.bits} bits>"


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"secret words",
        b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
        RSA.pem()[:300],
        RSA.pem(b"password"),
        zone_lines(RSA.record_name, RSA.record()).encode(),
    ],
)
def test_what_is_no_key(pem: bytes) -> None:
    with pytest.raises(SettingError, match="cannot be read") as caught:
        DkimKey.from_pem("example.org", "rsa1", pem, b"other" if b"ENCRYPTED" in pem else None)
    assert "secret" not in str(caught.value)
    assert caught.value.where == "rsa1._domainkey.example.org"


@pytest.mark.parametrize(("domain", "selector"), [("", "a"), ("org", "a"), ("example.org", ""), ("example.org", "a b")])
def test_names_that_are_none(domain: str, selector: str) -> None:
    with pytest.raises(SettingError, match="no proper name"):
        DkimKey.generate(domain, selector, "ed25519")


@pytest.mark.parametrize("bits", [512, 1023, 8193])
def test_sizes_that_are_none(bits: int) -> None:
    with pytest.raises(SettingError, match="not for DKIM"):
        DkimKey.generate("example.org", "a", bits=bits)
    with pytest.raises(SettingError, match="no kind"):
        DkimKey.generate("example.org", "a", "dsa")  # type: ignore[arg-type]


def test_a_record() -> None:
    text = RSA.record(testing=True, strict=True, notes="for ü; a=b")
    assert text.startswith("v=DKIM1; k=rsa; t=y:s; n=for =C3=BC=3B a=3Db; p=")
    record = read_key_record(text.encode())
    assert (record.kind, record.testing, record.strict, record.revoked) == ("rsa", True, True, False)
    assert record.public == RSA.public
    assert ED25519.record() == f"v=DKIM1; k=ed25519; p={base64.b64encode(ED25519.public).decode()}"


def test_a_record_as_strings_and_in_a_zone_file() -> None:
    large = DkimKey.generate("example.org", "big", bits=2048).record()
    strings = record_strings(large)
    assert [len(each) for each in strings[:-1]] == [255]
    assert "".join(strings) == large
    text = zone_lines("big._domainkey.example.org", large)
    assert text.startswith('big._domainkey.example.org. IN TXT (\n    "v=DKIM1; k=rsa; p=')
    assert "".join(re.findall(r'"([^"]*)"', text)) == large
    assert zone_lines("a.b", 'x"\\;') == 'a.b. IN TXT "x\\"\\\\;"\n'
    assert record_strings("") == ("",)


def test_whether_a_key_is_published() -> None:
    assert answer(check_published(RSA), ZONE) is None
    other = DkimKey.generate("example.org", "rsa1", bits=1024).record()
    for zone, result, text in (
        ({}, "permerror", "has no TXT record"),
        ({RSA.record_name: "SERVFAIL"}, "temperror", "could not be fetched"),
        ({RSA.record_name: {"TXT": [other]}}, "fail", "another key"),
        ({RSA.record_name: {"TXT": ["v=DKIM1; p="]}}, "fail", "revoked"),
    ):
        fault = answer(check_published(RSA), zone)
        assert fault is not None
        assert (fault.result, text in fault.reason) == (result, True)
