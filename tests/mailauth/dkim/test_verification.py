"""Verification: the rules of RFC 6376 §3.5, §3.6.1 and §6.1, RFC 8301 and RFC 8463, on signatures valid but for one."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tracemalloc
from itertools import chain, repeat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailauth import DkimKey, DkimPolicy, DkimVerifier, answer, verify_dkim
from posthouse.mailauth.dkim import MessageHasher

from .messages import AWKWARD, ED25519, HEAD, MESSAGE, RSA, ZONE, field, only, verified

NOW = 1_800_000_000
KEY = RSA.record()
NAME = RSA.record_name


def test_a_message_without_signature() -> None:
    found = verified(MESSAGE)
    assert (found.result, found.reason, found.signatures) == ("none", "the message has no DKIM signature", ())
    assert found.domains == ()


def test_what_a_verdict_says() -> None:
    found = verified(field({"t": "1799999990", "x": "1800000100", "i": "ann@mail.example.org"}) + MESSAGE)
    assert found.reason == "signed by example.org with a 1024-bit RSA key"
    one = only(found)
    assert one.result == "pass"
    assert (one.domain, one.selector, one.identity) == ("example.org", "rsa1", "ann@mail.example.org")
    assert (one.algorithm, one.key_bits, one.testing) == ("rsa-sha256", 1024, False)
    assert (one.fields, one.time, one.expires) == (("from", "to", "subject", "date"), 1_799_999_990, 1_800_000_100)
    assert len(base64.b64decode(one.signature)) == 128
    assert (one.signed_octets, one.unsigned_octets) == (None, 0)
    assert only(verified(field() + MESSAGE)).identity == "@example.org"


# The signature -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"c": "relaxed"},
        {"c": "simple/simple"},
        {"c": "simple/relaxed"},
        {"c": "RELAXED/Simple"},
        {"a": "RSA-SHA256"},
        {"d": "EXAMPLE.org"},
        {"q": "dns/txt"},
        {"q": "other/x : dns/txt"},
        {"i": "@example.org"},
        {"i": "@EXAMPLE.ORG"},
        {"i": "a=20b=3Bc@a.b.example.org"},
        {"i": "ann@exam\tple.org"},
        {"h": "From : to:\tSUBJECT :date"},
        {"h": "from:to:x-absent:from:to:dkim-signature"},
        {"z": "From:ann@example.org|Subject:lunch"},
        {"unknown": "anything", "Unknown2": ""},
        {"x": "1800000000"},
        {"t": "1800003600"},
        {"t": "0", "x": "999999999999"},
        {"l": "14"},
    ],
)
def test_signatures_that_pass(tags: dict[str, str]) -> None:
    found = verified(field(tags) + MESSAGE)
    assert found.result == "pass", found.reason


@pytest.mark.parametrize(
    ("tags", "result", "reason"),
    [
        ({"v": "2"}, "permerror", "version '2'"),
        ({"v": "1.0"}, "permerror", "version '1.0'"),
        ({"v": ""}, "permerror", "version ''"),
        ({"a": "rsa-sha1"}, "permerror", "SHA-1"),
        ({"a": "ed25519-sha1"}, "permerror", "SHA-1"),
        ({"a": "rsa-sha512"}, "neutral", "a=rsa-sha512 is not known"),
        ({"a": "rsa"}, "permerror", "no algorithm"),
        ({"a": "ed25519-sha256"}, "permerror", "of type 'rsa'"),
        ({"c": "relaxed/nofws"}, "neutral", "c='relaxed/nofws' is not known"),
        ({"c": "relaxed/"}, "neutral", "not known"),
        ({"q": "http"}, "neutral", "not in the DNS"),
        ({"q": "dns/txt:"}, "permerror", "q= is malformed"),
        ({"d": "org"}, "permerror", "d='org' is no domain"),
        ({"d": "example..org"}, "permerror", "no domain"),
        ({"d": "example.org."}, "permerror", "no domain"),
        ({"d": "-a.example.org"}, "permerror", "no domain"),
        ({"d": "exam ple.org"}, "permerror", "no domain"),
        ({"d": "a" * 64 + ".org"}, "permerror", "no domain"),
        ({"d": "a." * 127 + "org"}, "permerror", "no domain"),
        ({"s": "a" * 63 + ".b" * 30, "d": "a." * 62 + "org"}, "permerror", "longer than 253"),
        ({"s": ""}, "permerror", "no selector"),
        ({"s": "a b"}, "permerror", "no selector"),
        ({"i": "ann"}, "permerror", "no address"),
        ({"i": "@example.com"}, "permerror", "not that of d="),
        ({"i": "@badexample.org"}, "permerror", "not that of d="),
        ({"i": "@org"}, "permerror", "not that of d="),
        ({"i": "=41" * 400 + "@example.org"}, "permerror", "longer than 1024 characters"),
        ({"i": "a=0D=0Ab@example.org"}, "permerror", "control character"),
        ({"i": "a=3db@example.org"}, "permerror", "quoted-printable"),
        ({"h": "to:subject"}, "permerror", "From field is not signed"),
        ({"h": "from:to:"}, "permerror", "h= is malformed"),
        ({"h": ""}, "permerror", "h= is malformed"),
        ({"h": "from:to o"}, "permerror", "no field name"),
        ({"h": "from" + ":x" * 1000}, "permerror", "more than 1000 names"),
        ({"l": "-1"}, "permerror", "no length"),
        ({"l": ""}, "permerror", "no length"),
        ({"l": "1" * 77}, "permerror", "no length"),
        ({"l": "9" * 76}, "permerror", "more than the 14 octets"),
        ({"l": "15"}, "permerror", "more than the 14 octets"),
        ({"t": "x"}, "permerror", "t='x' is no time"),
        ({"t": "1" * 13}, "permerror", "is no time"),
        ({"x": "1_0"}, "permerror", "is no time"),
        ({"t": "100", "x": "100"}, "permerror", "not later than t="),
        ({"x": "1799999999"}, "fail", "expired 1 s ago"),
        ({"t": "1800003601"}, "fail", "in the future"),
        ({"bh": "YQ=="}, "permerror", "bh= holds 1 octets"),
        ({"bh": "a"}, "permerror", "bh= is no base64"),
        ({"bh": base64.b64encode(bytes(32)).decode()}, "fail", "body hash did not verify"),
        ({"1x": "y"}, "permerror", "not the name of a tag"),
        ({"y": "\x01"}, "permerror", "control character"),
    ],
)
def test_signatures_that_do_not_pass(tags: dict[str, str], result: str, reason: str) -> None:
    found = only(verified(field(tags) + MESSAGE))
    assert (found.result, reason in found.reason) == (result, True), found


@pytest.mark.parametrize("tag", ["v", "a", "d", "s", "h", "bh"])
def test_required_tags(tag: str) -> None:
    found = only(verified(field(without=[tag]) + MESSAGE))
    assert (found.result, found.reason) == ("permerror", f"the signature has no {tag}= tag, which is required")


@pytest.mark.parametrize(
    ("b", "result"), [(b"", "permerror"), (b"!", "permerror"), (b"YWJj", "fail"), (b"A" * 172, "fail")]
)
def test_other_octets_in_b(b: bytes, result: str) -> None:
    made = field()
    found = only(verified(made[: made.rindex(b" b=") + 3] + b + b"\r\n" + MESSAGE))
    assert found.result == result


def test_a_tag_that_stands_twice() -> None:
    found = only(
        verified(field(text="v=1; a=rsa-sha256; d=example.org; s=rsa1; h=from; h=from; bh={bh}; b=") + MESSAGE)
    )
    assert (found.result, found.reason) == ("permerror", "the signature is malformed: the tag h= stands twice")


@pytest.mark.parametrize(
    "text",
    [
        "b=;v=1;a=rsa-sha256;c=relaxed/relaxed;d=example.org;s=rsa1;h=from:to:subject:date;bh={bh}",
        (
            "\r\n\tv\r\n =\r\n 1 ; a = rsa-sha256;c=relaxed/relaxed;\r\n d=example.org\t;s= rsa1;"
            "h=from:to\r\n :subject:\r\n date;bh={bh};b="
        ),
        "v=1;a=rsa-sha256;c=relaxed/relaxed;d=example.org;s=rsa1;h=from:to:subject:date;bh={bh}; b =\r\n",
    ],
)
def test_white_space_and_order_of_tags(text: str) -> None:
    """The signature is put where "b=" is, and folded."""
    made = field(text=text).removesuffix(b"\r\n")
    signature = made[-172:]
    plain = made[:-172].removesuffix(b"\r\n")
    folded = b"\r\n\t".join([b" " + signature[:50], signature[50:51], signature[51:] + b" "])
    at = plain.index(b";v=1") if b"b=;v" in plain else len(plain)
    found = verified(plain[:at] + folded + plain[at:] + b"\r\n" + MESSAGE)
    assert found.result == "pass", found.reason


# The key -----------------------------------------------------------------------------------------------------------


def der(form: str) -> str:
    """The public RSA key in another form, in base64."""
    public = serialization.load_der_public_key(RSA.public)
    assert isinstance(public, rsa.RSAPublicKey)
    forms = {"bare": serialization.PublicFormat.PKCS1, "wrapped": serialization.PublicFormat.SubjectPublicKeyInfo}
    return base64.b64encode(public.public_bytes(serialization.Encoding.DER, forms[form])).decode()


P = der("wrapped")


@pytest.mark.parametrize(
    "record",
    [
        KEY,
        f"p={P}",
        f"v=DKIM1;p={P};",
        f" v = DKIM1 ; k = rsa ; p = {P[:20]} {P[20:]} ; ",
        f"v=DKIM1; k=RSA; h=sha256; s=email; t=s; n=a note; p={P}",
        f"v=DKIM1; h=sha1:sha256:x; s=other : *; t=x : y; g=; p={P}",
        f"v=DKIM1; p={der('bare')}",
        f"v=DKIM1; n=Schlüssel; p={P}",
        f"v=DKIM1; future=tag; p={P}",
    ],
)
def test_key_records_that_are_good(record: str) -> None:
    found = verified(field() + MESSAGE, {NAME: {"TXT": [record]}})
    assert found.result == "pass", found.reason


EC = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        ("", "permerror", "malformed: the list is empty"),
        ("v=spf1 -all", "permerror", "malformed"),
        (f"v=DKIM2; p={P}", "permerror", "v= is 'DKIM2' and not DKIM1"),
        (f"v=dkim1; p={P}", "permerror", "not DKIM1"),
        (f"v=DKIM1\\; p={P}", "permerror", "backslash"),
        (f"k=rsa; v=DKIM1; p={P}", "permerror", "not the first tag"),
        ("v=DKIM1; k=rsa", "permerror", "p=, the public key, is missing"),
        (f"v=DKIM1; p={P}; p={P}", "permerror", "stands twice"),
        (f"v=DKIM1;; p={P}", "permerror", "two semicolons"),
        ("v=DKIM1; p=", "fail", "revoked"),
        (f"v=DKIM1; p={P[:-1]}-", "permerror", "no base64"),
        ("v=DKIM1; p=YWJj", "permerror", "no RSA key"),
        (f"v=DKIM1; p={EC}", "permerror", "not an RSA key"),
        (f"v=DKIM1; k=dsa; p={P}", "permerror", "of type 'dsa'"),
        (f"v=DKIM1; k=ed25519; p={P}", "permerror", "of type 'ed25519'"),
        (f"v=DKIM1; h=sha1; p={P}", "permerror", "does not allow sha256"),
        (f"v=DKIM1; h=sha256:; p={P}", "permerror", "h= is malformed"),
        (f"v=DKIM1; s=tlsrpt; p={P}", "permerror", "not for email"),
        (f"v=DKIM1; n={'x' * 8192}; p={P}", "permerror", "longer than 8192"),
        (DkimKey.generate("example.org", "rsa1", bits=1024).record(), "fail", "did not verify"),
    ],
)
def test_key_records_that_are_not(record: str, result: str, reason: str) -> None:
    found = only(verified(field() + MESSAGE, {NAME: {"TXT": [record]}}))
    assert (found.result, reason in found.reason) == (result, True), found


@pytest.mark.parametrize(
    ("answer_of_dns", "result", "reason"),
    [
        ("NXDOMAIN", "permerror", "there is no key: rsa1._domainkey.example.org has no TXT record"),
        ({}, "permerror", "there is no key"),
        ({"A": ["192.0.2.1"]}, "permerror", "there is no key"),
        ("SERVFAIL", "temperror", "could not be fetched: the DNS server"),
        ("TIMEOUT", "temperror", "could not be fetched: no DNS server answered"),
    ],
)
def test_answers_of_the_dns(answer_of_dns: object, result: str, reason: str) -> None:
    found = verified(field() + MESSAGE, {NAME: answer_of_dns})
    assert found.result == result
    assert found.reason.startswith(f"example.org: {reason}" if result == "permerror" else "example.org: the key record")
    assert reason in found.reason


def test_several_records_of_one_name() -> None:
    other = DkimKey.generate("example.org", "rsa1", bits=1024).record()
    for records in (["v=spf1 -all", KEY], [other, KEY], [KEY, other], ["v=DKIM1; p=", KEY], ["x", other, "y", KEY]):
        assert verified(field() + MESSAGE, {NAME: {"TXT": records}}).result == "pass", records
    assert verified(field() + MESSAGE, {NAME: {"TXT": [other] * 4 + [KEY]}}).result == "fail"  # a bound


def openssl_key(bits: int) -> str:
    """A record with a key that is too small for ``cryptography`` to make."""
    made = subprocess.run(["openssl", "genrsa", str(bits)], capture_output=True, check=True)
    return made.stdout.decode()


def test_sizes_of_rsa_keys() -> None:
    for bits in (1024, 2048, 4096):
        key = DkimKey.generate("example.org", "rsa1", bits=bits)
        zone = {NAME: {"TXT": [key.record()]}}
        found = verified(field(key=key) + MESSAGE, zone)
        assert (found.result, only(found).key_bits) == ("pass", bits)
        assert only(verified(field(key=key) + MESSAGE, zone, min_rsa_bits=2048)).result == (
            "pass" if bits >= 2048 else "permerror"
        )


@pytest.mark.system("openssl", "openssl")
def test_a_key_too_small() -> None:
    private = serialization.load_pem_private_key(openssl_key(768).encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record = f"v=DKIM1; p={base64.b64encode(public).decode()}"
    found = only(verified(field() + MESSAGE, {NAME: {"TXT": [record]}}, min_rsa_bits=512))
    assert (found.result, found.key_bits) == ("permerror", 768)
    assert found.reason.endswith("has 768 bits, and at least 1024 are needed (RFC 8301)")


def test_a_key_too_large_or_too_slow() -> None:
    numbers = rsa.RSAPublicNumbers
    for made, reason in (
        (numbers(65_537, (1 << 8_200) + 1), "has 8201 bits"),
        (numbers((1 << 65) + 1, (1 << 2_047) + 1), "exponent"),
    ):
        public = made.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        record = f"v=DKIM1; p={base64.b64encode(public).decode()}"
        found = only(verified(field() + MESSAGE, {NAME: {"TXT": [record]}}))
        assert (found.result, reason in found.reason) == ("permerror", True), found


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_ed25519_key_is_bare(wrapped: bool) -> None:
    signed = field({"a": "ed25519-sha256", "s": "ed1"}, key=ED25519) + MESSAGE
    p = b"0*0\x05\x06\x03+ep\x03!\x00" * wrapped + ED25519.public
    record = f"v=DKIM1; k=ed25519; p={base64.b64encode(p).decode()}"
    found = only(verified(signed, {ED25519.record_name: {"TXT": [record]}}))
    assert (found.result, found.key_bits) == (("permerror", 0) if wrapped else ("pass", 256))


def test_flags_of_the_key() -> None:
    strict = {NAME: {"TXT": [RSA.record(strict=True)]}}
    assert verified(field({"i": "x@example.org"}) + MESSAGE, strict).result == "pass"
    found = only(verified(field({"i": "x@mail.example.org"}) + MESSAGE, strict))
    assert (found.result, found.reason) == ("permerror", "the key allows no subdomain of d= in i= (t=s)")
    testing = {NAME: {"TXT": [RSA.record(testing=True)]}}
    good, bad = only(verified(field() + MESSAGE, testing)), only(verified(field() + MESSAGE + b"x", testing))
    assert (good.result, good.testing) == ("pass", True)
    assert good.reason.endswith("testing DKIM (t=y)")
    assert (bad.result, bad.testing) == ("fail", True)


@pytest.mark.parametrize(
    ("domain", "selector"),
    [("täst.example", "schlüssel"), ("xn--tst-qla.example", "xn--schlssel-95a"), ("exa_mple.org", "_a_.b")],
)
def test_names_that_are_not_plain(domain: str, selector: str) -> None:
    """RFC 8616 §4: U-labels in the field, A-labels in the DNS; and the names with underscores that signers use."""
    key = DkimKey.generate(domain, selector, "ed25519")
    assert key.record_name.isascii()
    made = field({"a": "ed25519-sha256", "d": domain, "s": selector}, key=key)
    found = verified(made + MESSAGE, {key.record_name: {"TXT": [key.record()]}})
    assert (found.result, only(found).domain) == ("pass", key.domain)


# The message -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("c", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
def test_awkward_messages(name: str, c: str) -> None:
    message = AWKWARD[name]
    signed = field({"c": c, "h": "from:from:to:subject:comments:comments:references:received:received"}, message)
    whole = verified(signed + message)
    assert whole.result == "pass", whole.reason
    if len(message) < 2_000:
        octets = signed + message
        pieces = [octets[at : at + 1] for at in range(len(octets))]
        assert answer(verify_dkim(iter(pieces), NOW), ZONE) == whole


def test_a_field_added_or_removed() -> None:
    message = b"Comments: 2\r\nComments: 1\r\n" + MESSAGE
    signed = field({"h": "from:comments:comments:comments:x-no"}, message)
    assert verified(signed + message).result == "pass"
    assert verified(signed + b"Comments: 3\r\n" + message).result == "fail"
    assert verified(signed + b"X-No: 3\r\n" + message).result == "fail"
    assert verified(signed + message.replace(b"Comments: 1\r\n", b"")).result == "fail"
    assert verified(signed + b"Comments: 1\r\nComments: 2\r\n" + MESSAGE).result == "fail"
    assert verified(signed + b"X-Other: 3\r\n" + message).result == "pass"
    below = field({"h": "from:comments"}, message)
    assert verified(below + b"Comments: 3\r\n" + message).result == "pass"  # the lowest is the signed one


def test_a_second_from_field_above_is_seen_if_oversigned() -> None:
    assert verified(b"From: eve@example.com\r\n" + field({"h": "from"}) + MESSAGE).result == "pass"
    assert verified(b"From: eve@example.com\r\n" + field({"h": "from:from"}) + MESSAGE).result == "fail"


def test_a_signed_signature() -> None:
    first = field()
    second = field({"h": "from:dkim-signature", "s": "ed1", "a": "ed25519-sha256"}, first + MESSAGE, ED25519)
    assert [each.result for each in verified(second + first + MESSAGE).signatures] == ["pass", "pass"]
    changed = first.replace(b"v=1", b"v=1 ").replace(b"c=relaxed", b"c= relaxed")
    assert [each.result for each in verified(second + changed + MESSAGE).signatures] == ["fail", "fail"]


def test_the_length_of_the_body() -> None:
    signed = field({"l": "9"})
    found = only(verified(signed + MESSAGE))
    assert (found.result, found.signed_octets, found.unsigned_octets) == ("pass", 9, 5)
    assert found.reason.endswith("but for the last 5 octets of the body (l=9)")
    assert verified(signed + MESSAGE + b"more\r\n").result == "pass"
    assert verified(signed + MESSAGE.replace(b"?", b"!")).result == "fail"
    assert verified(field({"l": "0"}) + HEAD + b"\r\nother").result == "pass"
    refused = only(verified(signed + MESSAGE, partial_body=False))
    assert (refused.result, "5 octets" in refused.reason) == ("policy", True)
    assert verified(field({"l": "14"}) + MESSAGE, partial_body=False).result == "pass"


def test_many_signatures() -> None:
    both = field({"a": "ed25519-sha256", "s": "ed1"}, key=ED25519) + field()
    found = verified(both + MESSAGE)
    assert [(each.selector, each.result) for each in found.signatures] == [("ed1", "pass"), ("rsa1", "pass")]
    assert found.domains == ("example.org",)
    found = verified(field({"v": "3"}) + field({"bh": base64.b64encode(bytes(32)).decode()}) + field() + MESSAGE)
    assert [each.result for each in found.signatures] == ["permerror", "fail", "pass"]
    assert found.result == "pass"
    zone = {**ZONE, ED25519.record_name: "TIMEOUT"}
    found = verified(field({"v": "3"}) + both + MESSAGE + b"x", zone)
    assert (found.result, found.domains) == ("temperror", ())


def test_too_many_signatures() -> None:
    foreign = field({"d": "list.example"})
    found = verified(foreign * 30 + field() + foreign + MESSAGE)
    assert (found.skipped, len(found.signatures)) == (22, 10)
    assert found.result == "pass"  # the author's domain comes first
    assert found.signatures[-1].domain == "example.org"
    found = verified(field() + foreign * 3 + MESSAGE, max_signatures=2)
    assert [each.domain for each in found.signatures] == ["example.org", "list.example"]
    found = verified(field() + MESSAGE, max_signatures=0)
    assert (found.result, found.signatures, found.skipped) == ("policy", (), 1)


def test_a_header_section_too_long() -> None:
    message = MESSAGE.replace(b"Subject", b"X-Long: " + b"x" * 300_000 + b"\r\nSubject")
    found = only(verified(field() + message))
    assert (found.result, found.reason) == ("policy", "the header section is too long to be judged")


def test_questions_are_known_when_the_header_section_is() -> None:
    verifier = DkimVerifier(NOW, DkimPolicy())
    hasher = MessageHasher(verifier.plan)
    hasher.write(field({"v": "7"}) + field({"s": "a.b"}) + field() + HEAD)
    assert verifier.questions == []
    hasher.write(b"\r\n")
    assert [question.name for question in verifier.questions] == ["a.b._domainkey.example.org", NAME]


def test_line_ends_of_a_text_file() -> None:
    signed = field() + MESSAGE
    assert verified(signed.replace(b"\r\n", b"\n")).result == "pass"
    assert verified(signed + b"a\nb\r\n").result == "fail"
    pieces = [bytes([octet]) for octet in signed.replace(b"\r\n", b"\n")]
    assert answer(verify_dkim(pieces, NOW), ZONE).result == "pass"
    with pytest.raises(TypeError, match="not str"):
        verify_dkim("From: x")  # type: ignore[arg-type]


# Work --------------------------------------------------------------------------------------------------------------


def test_the_body_is_hashed_once_for_all_signatures_that_share_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    body = MESSAGE.partition(b"\r\n\r\n")[2] * 100
    message = HEAD + b"\r\n" + body
    forms = [{}, {"c": "simple/relaxed"}, {"l": "3"}, {"c": "simple"}]
    signed = b"".join(field(tags, message) for tags in forms) * 2 + message
    hashed: list[int] = []

    class Counted:
        """SHA-256 of a body, with the octets that it has been given."""

        def __init__(self, octets: bytes = b"") -> None:
            self.real = sha256(octets)
            self.number = len(hashed)
            hashed.append(0)

        def update(self, octets: bytes) -> None:
            hashed[self.number] += len(octets)
            self.real.update(octets)

        def digest(self) -> bytes:
            return self.real.digest()

    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", Counted)
    assert verified(signed).result == "pass"
    updated = sorted(filter(None, hashed))  # header sections are hashed at once
    assert updated == [3, len(body), len(body)]  # 8 signatures: two whole bodies, and the length


def test_memory_does_not_grow_with_the_message() -> None:
    piece = b"all the  figures of this quarter \t\r\n" * 2_000
    signed = field({"bh": base64.b64encode(bytes(32)).decode()}) + HEAD + b"\r\n"
    tracemalloc.start()
    try:
        found = answer(verify_dkim(chain([signed], repeat(piece, 80)), NOW), ZONE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.reason.endswith("the body is not the one that was signed")  # all 6 MB have passed
    assert peak < 2_000_000


LONG = 250_000
#: A signature that is read to its end, but for its h=, which follows.
USUAL = b"DKIM-Signature: v=1; a=rsa-sha256; b=YQ==; bh=" + b"A" * 43 + b"=; d=example.org; s=rsa1; "


@pytest.mark.parametrize(
    "header",
    [
        b"DKIM-Signature:" + b";" * LONG,
        b"DKIM-Signature:" + b"=" * LONG,
        b"DKIM-Signature: v=1;" + b" " * LONG + b"b",
        b"DKIM-Signature: v=1;b" + b"\t " * (LONG // 2) + b"=",
        b"DKIM-Signature: v=1; a=" + b"rsa-" * (LONG // 4),
        USUAL + b"h=" + b"a:" * (LONG // 2),
        USUAL + b"h=from:" + b"x:" * 60_000 + b"x\r\n"
        + b"x:\r\n" * 9_000,
        b"DKIM-Signature: v=1; a=rsa-sha256; bh=YQ==; d=" + b"a." * (LONG // 2) + b"b; s=c; h=from; b=YQ==",
        b"DKIM-Signature: v=1; a=rsa-sha256; b=" + b"Y " * (LONG // 2) + b"; bh=YQ==; d=a.b; s=c; h=from",
        USUAL + b"h=from; i=" + b"=41" * (LONG // 3) + b"@example.org",
        USUAL + b"h=from:" + b"dkim-signature:" * 9_000 + b"x\r\n" + b"DKIM-Signature:\r\n" * 5_000,
        b"X:" + b"\r\n " * (LONG // 3),
        b"X:" + b" \t" * (LONG // 2) + b"x",
        b"\r\n".join([b"X" * 900 + b" " * 90] * (LONG // 1_000)),
        b"DKIM-Signature: d=a.b\r\n" * (LONG // 24),
        b"DKIM-Signature:;d=" + b"\r\nDKIM-Signature:;d=".join([b"a.b"] * 6_000),
    ],
    ids=range(16),
)  # fmt: skip
def test_header_sections_that_are_made_to_be_slow(header: bytes) -> None:
    """With work that is quadratic in the length, each would take hours: the time limit of a test is the proof."""
    found = verified(b"From: " + b"a@b," * 20 + b"\r\n" + header + b"\r\n\r\n")
    assert found.result != "pass"


@given(st.binary(max_size=200), st.integers(0, 400))
def test_whatever_comes_is_judged(junk: bytes, at: int) -> None:
    """Octets put anywhere into a signed message: there is a verdict, and its reason fits on one line."""
    signed = field({"h": "from:from:to:to:subject:subject:date:date"}) + MESSAGE
    message = signed[:at] + junk + signed[at:]
    for each in verified(message).signatures:
        assert each.result in {"pass", "fail", "permerror", "temperror", "neutral", "policy"}
        assert each.reason
        assert not set(each.reason) & {"\r", "\n"}
