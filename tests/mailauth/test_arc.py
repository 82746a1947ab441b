"""ARC: each rule of RFC 8617 §4 and §5, on chains that are right but for the one thing that a test changes.

The chains are made here, by a signer of a few lines that does what it is told, so that wrong fields have right
signatures.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import LocalError, SettingError
from posthouse.mailauth import answer
from posthouse.mailauth.arc import (
    ArcResult,
    ArcSealer,
    ArcSet,
    ArcVerifier,
    seal_arc,
    sealed_results,
    verify_arc,
    vouching_set,
)
from posthouse.mailauth.dkim import MessageHasher
from posthouse.mailauth.dkim.keys import DkimKey
from posthouse.mailauth.results import MethodResult, ResultProperty, read_results
from posthouse.message.headers import fields, split

NOW = 1_764_500_000


@cache
def key(domain: str, kind: str = "rsa", bits: int = 1024) -> DkimKey:
    return DkimKey.generate(domain, "sel", "rsa" if kind == "rsa" else "ed25519", bits)


DOMAINS = ("first.test", "second.test", "third.test")


def zone(*keys: DkimKey) -> dict[str, object]:
    return {each.record_name: {"TXT": [each.record()]} for each in (*map(key, DOMAINS), *keys)}


MESSAGE = (
    b"Authentication-Results: mx.first.test; spf=pass smtp.mailfrom=ann.test; dmarc=pass header.from=ann.test\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; d=ann.test; b=xyz\r\n"
    b"From: Ann <ann@ann.test>\r\n"
    b"To: bob@bob.test\r\n"
    b"Subject: Tea\r\n"
    b"\r\n"
    b"At five?\r\n"
)


def relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + re.sub(rb"[ \t\r\n]+", b" ", value).strip() + b"\r\n"


Change = Callable[[bytes], bytes]


def same(field: bytes) -> bytes:
    return field


def add_set(
    message: bytes,
    number: int,
    cv: str = "pass",
    *,
    signer: DkimKey | None = None,
    aar: Change = same,
    ams: Change = same,
    seal: Change = same,
    names: Sequence[str] = ("from", "to", "subject"),
    alone: bool = False,
) -> bytes:
    """The message with one more set; the functions change a field before it is signed."""
    signer = signer or key(DOMAINS[(number - 1) % 3])
    body = split(message).body_offset
    digest = base64.b64encode(hashlib.sha256(message[body:].rstrip(b"\r\n") + b"\r\n").digest()).decode()
    held = fields(split(message).headers)
    results = aar(b"ARC-Authentication-Results: i=%d; mx.test; dmarc=pass header.from=ann.test\r\n" % number)
    head = f"i={number}; a={signer.algorithm}; d={signer.domain}; s={signer.selector}; t={NOW}"
    own = ams(f"ARC-Message-Signature: {head}; c=relaxed/simple; h={':'.join(names)}; bh={digest}; b=".encode())
    octets = b""
    left = list(held)
    for name in names:
        found = next((each for each in reversed(left) if each.name.lower() == name.encode()), None)
        if found is not None:
            left.remove(found)
            octets += relaxed(found.raw)
    own += base64.b64encode(signer.sign(octets + relaxed(own)[:-2])) + b"\r\n"
    last = seal(f"ARC-Seal: {head}; cv={cv}; b=".encode())
    chain = b""
    for instance in [] if alone else range(1, number):
        for kind in (b"arc-authentication-results", b"arc-message-signature", b"arc-seal"):
            chain += b"".join(
                relaxed(each.raw)
                for each in held
                if each.name.lower() == kind and re.search(rb"\bi ?= ?%d\b" % instance, each.raw)
            )
    chain += relaxed(results) + relaxed(own) + relaxed(last)[:-2]
    last += base64.b64encode(signer.sign(chain)) + b"\r\n"
    return last + own + results + message


def chain(count: int, **last: object) -> bytes:
    """A message with a chain of ``count`` sets; ``last`` are arguments of the newest one."""
    message = MESSAGE
    for number in range(1, count + 1):
        given_last: dict[str, object] = last if number == count else {}
        message = add_set(message, number, "none" if number == 1 else "pass", **given_last)  # type: ignore[arg-type]
    return message


def verify(message: bytes, records: dict[str, object] | None = None) -> ArcResult:
    return answer(verify_arc(message, NOW), zone() if records is None else records)


def replace(old: bytes, new: bytes) -> Change:
    def change(field: bytes) -> bytes:
        assert old in field, field
        return field.replace(old, new, 1)

    return change


# -- chains that are valid -------------------------------------------------------------------------------------------


def test_a_message_without_arc_fields_has_no_chain() -> None:
    found = verify(MESSAGE)
    assert (found.result, found.sets, found.oldest_pass, found.highest) == ("none", (), None, 0)
    assert found.properties == ()
    assert found.domains == ()
    for empty in (b"", b"no header\r\n", b"\r\n\r\n"):
        assert verify(empty).result == "none"


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_chains_up_to_50_sets_are_valid(count: int) -> None:
    found = verify(chain(count))
    assert found.result == "pass", found
    assert [each.instance for each in found.sets] == list(range(1, count + 1))
    assert [each.cv for each in found.sets] == ["none"] + ["pass"] * (count - 1)
    assert found.oldest_pass == 0
    assert found.properties == (("header.oldest-pass", "0"),)
    assert found.domains[0] == DOMAINS[(count - 1) % 3]
    assert found.sets[0]._replace(payload="") == ArcSet(1, "first.test", "sel", "none", "first.test", "sel", "", NOW)


def test_the_order_of_the_fields_does_not_matter() -> None:
    message = chain(2)
    at = message.index(b"Authentication-Results: mx.first")
    arc = [each.raw for each in fields(message[:at])]
    for mixed in (arc[::-1], sorted(arc), arc[3:] + arc[:3]):
        assert verify(b"".join(mixed) + message[at:]).result == "pass"
    assert verify(message[at:].replace(b"\r\n\r\n", b"\r\n" + b"".join(arc) + b"\r\n", 1)).result == "pass"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seal", replace(b"i=1; ", b" i = 1 ;\r\n\t")),
        ("seal", replace(b"cv=none", b"cv = none")),
        ("seal", replace(b"; t=%d" % NOW, b"")),
        ("seal", replace(b"cv=none", b"new=tag; cv=none")),  # unknown tags are ignored
        ("seal", replace(b"i=1; ", b"v=2; c=simple/simple; bh=x; i=01; ")),
        ("seal", replace(b"i=1;", b"(one (1)) i (is) = (again) 1 (.);")),
        ("seal", replace(b"ARC-Seal:", b"arc-SEAL:")),
        ("ams", replace(b"i=1; ", b"v=1; i=1; ")),  # v is ignored
        ("ams", replace(b"i=1; ", b"v=7; i=1; ")),
        ("ams", replace(b"i=1;", b"(a) i=(b) 1 (c);")),
        ("ams", replace(b"h=from:to:subject", b"h= From : TO:Subject ")),
        ("ams", replace(b"; t=%d" % NOW, b"; t=%d; x=%d" % (NOW, NOW + 1))),
        ("aar", replace(b"i=1;", b"(\r\n a) i = (b) 1 (c) ;")),
        ("aar", replace(b"mx.test; dmarc=pass", b"@@ what is this (")),  # its syntax does not matter (§3.4)
        ("aar", replace(b" mx.test; dmarc=pass header.from=ann.test", b"")),
    ],
)
def test_every_spelling_that_the_grammar_allows(field: str, change: Change) -> None:
    found = verify(chain(1, **{field: change}))
    assert found.result == "pass", found


def test_ed25519_keys_sign_chains_too() -> None:
    new = key("new.test", "ed25519")
    assert verify(chain(2, signer=new), zone(new)).result == "pass"


def test_international_domains_and_selectors() -> None:
    wide = DkimKey("xn--bcher-kva.test", "sel", key("first.test")._private)
    written = replace(b"d=xn--bcher-kva.test", "d=bücher.test".encode())
    found = verify(chain(1, signer=wide, seal=written, ams=written), zone(wide))
    assert (found.result, found.domains) == ("pass", ("xn--bcher-kva.test",))


def test_a_later_host_may_change_the_message_if_it_seals_again() -> None:
    changed = chain(1).replace(b"Subject: Tea", b"Subject: [list] Tea").replace(b"At five?", b"At five? -- the list")
    assert verify(changed).result == "fail"
    again = add_set(add_set(changed, 2), 3)
    found = verify(again)
    assert (found.result, found.oldest_pass) == ("pass", 2)
    assert found.properties == (("header.oldest-pass", "2"),)


def test_an_old_signature_that_cannot_be_read_does_not_break_the_chain() -> None:
    for change in (replace(b"bh=", b"gone="), replace(b"a=rsa-sha256", b"a=rsa-sha1"), replace(b"h=from", b"h=sender")):
        found = verify(add_set(chain(1, ams=change), 2))
        assert (found.result, found.oldest_pass) == ("pass", 2), found


def test_a_part_of_the_body_may_be_signed() -> None:
    short = base64.b64encode(hashlib.sha256(b"At five?").digest())
    part: Change = lambda field: re.sub(rb"bh=[^;]*", b"bh=" + short + b"; l=8", field)  # noqa: E731
    assert verify(chain(1, ams=part)).result == "pass"
    assert verify(chain(1, ams=part) + b"added\r\n").result == "pass"
    assert "more than the body" in verify(chain(1, ams=lambda field: field.replace(b"; h=", b"; l=99; h="))).reason
    found = verify(add_set(chain(1, ams=part), 2))  # an old one is not hashed again
    assert (found.result, found.oldest_pass) == ("pass", 2)


# -- the structure (§5.2, steps 1 to 3) -------------------------------------------------------------------------------


def without(message: bytes, name: bytes, instance: int) -> bytes:
    kept = [
        each.raw
        for each in fields(split(message).headers)
        if not (each.name.lower() == name and b"i=%d;" % instance in each.raw)
    ]
    return b"".join(kept) + message[split(message).body_offset - 2 :]


KINDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("instance", [1, 2, 3])
def test_each_set_has_one_field_of_each_kind(name: bytes, instance: int) -> None:
    message = chain(3)
    assert verify(message).result == "pass"
    missing = verify(without(message, name, instance))
    assert (missing.result, missing.oldest_pass) == ("fail", None)
    assert f"i={instance}" in missing.reason
    again = next(
        each.raw
        for each in fields(split(message).headers)
        if each.name.lower() == name and b"i=%d;" % instance in each.raw
    )
    twice = verify(again + message)
    assert twice.result == "fail"
    assert "two" in twice.reason


@pytest.mark.parametrize("name", KINDS)
def test_one_field_alone_is_a_broken_chain(name: bytes) -> None:
    assert verify(name + b": i=1; cv=none\r\n" + MESSAGE).result == "fail"
    assert verify(name + b": nonsense\r\n" + MESSAGE).result == "fail"


def test_a_chain_begins_with_1_and_has_no_gap() -> None:
    message = chain(3)
    for instance in (1, 2):
        cut = message
        for name in KINDS:
            cut = without(cut, name, instance)
        assert verify(cut).result == "fail"


@pytest.mark.parametrize(
    "number", [b"0", b"00", b"51", b"99", b"100", b"-1", b"1.0", b"x", b"", b"1 2", b"+1", b"\xd9\xa1"]
)
@pytest.mark.parametrize("field", ["aar", "ams", "seal"])
def test_instances_are_numbers_from_1_to_50(field: str, number: bytes) -> None:
    found = verify(chain(1, **{field: replace(b"i=1;", b"i=" + number + b";")}))
    assert found.result == "fail"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("aar", replace(b"i=1; ", b"")),
        ("aar", replace(b"i=1;", b"i=1")),
        ("aar", replace(b"i=1; mx.test;", b"mx.test; i=1;")),
        ("aar", replace(b"i=1", b"I=1")),
        ("seal", replace(b"i=1; ", b"")),
        ("seal", replace(b"i=1", b"I=1")),
        ("seal", replace(b"i=1", b"i=1; i=1")),
        ("ams", replace(b"i=1; ", b"")),
        ("ams", replace(b"i=1; ", b"i=user@first.test; ")),
    ],
)
def test_every_field_has_an_instance(field: str, change: Change) -> None:
    assert verify(chain(1, **{field: change})).result == "fail"


def test_more_than_50_sets_are_too_many() -> None:
    message = chain(50)
    assert verify(message).result == "pass"
    assert verify(add_set(message, 51)).result == "fail"
    extra = b"ARC-Seal: i=1; cv=none\r\n" * 60
    assert "more than 50" in verify(extra + MESSAGE).reason


@pytest.mark.parametrize(
    ("count", "cv"),
    [
        (1, "pass"),
        (1, "fail"),
        (1, ""),
        (1, "maybe"),
        (1, "None"),
        (2, "PASS"),
        (2, "none"),
        (2, "fail"),
        (2, ""),
        (2, "passed"),
        (3, "none"),
    ],
)
def test_cv_is_none_in_the_first_set_and_pass_in_all_others(count: int, cv: str) -> None:
    good = b"cv=none" if count == 1 else b"cv=pass"
    newest = verify(chain(count, seal=replace(good, b"cv=" + cv.encode())))
    assert newest.result == "fail"
    assert newest.newest_failed is (cv == "fail")
    older = add_set(chain(count, seal=replace(good, b"cv=" + cv.encode())), count + 1)
    assert verify(older).result == "fail"
    assert not verify(older).newest_failed


def test_a_seal_that_says_fail_is_believed_at_once() -> None:
    message = add_set(MESSAGE, 1, "fail", alone=True)
    found = verify(message, {})  # nothing is asked for
    assert (found.result, found.newest_failed, found.highest) == ("fail", True, 1)


# -- seals and signatures (§4.1.2, §4.1.3, steps 4 and 6) -------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        replace(b"; cv=", b"; h=from; cv="),  # §4.1.3: h= is not allowed
        replace(b"; cv=", b"; h=; cv="),
        replace(b"a=rsa-sha256; ", b""),
        replace(b"a=rsa-sha256", b"a=rsa-sha1"),
        replace(b"a=rsa-sha256", b"a=rsa-sha512"),
        replace(b"a=rsa-sha256", b"a=RSA-sha256"),  # RFC 6376 §3.2: values have case
        replace(b"a=rsa-sha256", b"a="),
        replace(b"s=sel; ", b""),
        replace(b"s=sel", b"s=other"),
        replace(b"s=sel", b"s="),
        lambda field: re.sub(rb"d=[a-z.]+; ", b"", field),
        lambda field: re.sub(rb"d=[a-z.]+", b"d=other.test", field),
        lambda field: re.sub(rb"d=[a-z.]+", b"d=", field),
        lambda field: re.sub(rb"; cv=\w+", b"", field),
        lambda field: re.sub(rb"; cv=", b"; CV=", field),
        lambda field: re.sub(rb"cv=(\w+)", rb"cv=\1; cv=\1", field),
        replace(b"; t=%d" % NOW, b"; t=x"),
        replace(b"; t=%d" % NOW, b"; t="),
        replace(b"; s=", b"; ; s="),
        replace(b"; s=", b"; nonsense; s="),
    ],
)
def test_a_seal_with_a_wrong_tag_breaks_the_chain(change: Change, count: int) -> None:
    assert verify(chain(count, seal=change)).result == "fail"
    assert verify(add_set(chain(count, seal=change), count + 1)).result == "fail"


def test_a_seal_without_a_signature_breaks_the_chain() -> None:
    for new in (b"; b=\r\n", b"; b=AAAA\r\n", b"; b=!\r\n", b"\r\n"):
        message = re.sub(rb"(ARC-Seal: [^\r]*); b=[^\r]*\r\n", rb"\1" + new, chain(1), count=1)
        assert verify(message).result == "fail"


@pytest.mark.parametrize(
    "change",
    [
        replace(b"h=from:to:subject", b"h=to:subject"),  # From must be signed
        replace(b"h=from:to:subject", b"h="),
        replace(b"h=from:to:subject; ", b""),
        replace(b"h=from", b"h=arc-seal:from"),  # §4.1.2: none of ARC's own fields
        replace(b"h=from", b"h=ARC-Message-Signature:from"),
        replace(b"h=from", b"h=from:Arc-Authentication-Results"),
        replace(b"a=rsa-sha256; ", b""),
        replace(b"a=rsa-sha256", b"a=rsa-sha1"),
        replace(b"a=rsa-sha256", b"a=ed25519-sha256"),
        replace(b"c=relaxed/simple", b"c=simple/relaxed"),
        replace(b"c=relaxed/simple", b"c=bogus"),
        replace(b"c=relaxed/simple", b"c=Relaxed/simple"),
        replace(b"; c=relaxed/simple", b""),  # the default is simple/simple
        replace(b"s=sel; ", b""),
        replace(b"s=sel", b"s=other"),
        replace(b"d=first.test; ", b""),
        replace(b"d=first.test", b"d=second.test"),
        lambda field: re.sub(rb"bh=[^;]*", b"bh=", field),
        lambda field: re.sub(rb"bh=[^;]*; ", b"", field),
        lambda field: re.sub(rb"bh=.", b"bh=_", field),
        lambda field: re.sub(rb"bh=[^;]*", b"bh=AAAA", field),
        lambda field: re.sub(rb"bh=[^;]*", b"bh=" + base64.b64encode(bytes(32)), field),
        replace(b"; t=%d" % NOW, b"; t=%d; x=%d" % (NOW - 9, NOW - 1)),  # expired
        replace(b"; t=%d" % NOW, b"; t=%d; x=%d" % (NOW, NOW)),
        replace(b"; t=%d" % NOW, b"; t=%d" % (NOW + 86_400)),  # from the future
        replace(b"; t=%d" % NOW, b"; t=soon"),
        replace(b"; s=", b"; s=sel; s="),
    ],
)
def test_a_newest_signature_with_a_wrong_tag_breaks_the_chain(change: Change) -> None:
    found = verify(chain(1, ams=change))
    assert (found.result, found.oldest_pass) == ("fail", None)
    assert found.reason


def test_every_field_of_the_chain_is_sealed() -> None:
    message = chain(3)
    for instance in (b"1", b"2", b"3"):
        for name in (b"ARC-Authentication-Results", b"ARC-Message-Signature", b"ARC-Seal"):
            changed = re.sub(name + rb": i=" + instance + rb";", name + b": x=y; i=" + instance + b";", message)
            if name == b"ARC-Authentication-Results":
                changed = message.replace(b"i=" + instance + b"; mx.test;", b"i=" + instance + b"; my.test;")
            assert changed != message
            assert verify(changed).result == "fail", (instance, name)


def test_the_signed_message_must_not_change() -> None:
    message = chain(1)
    for old, new in ((b"Tea", b"Tee"), (b"five", b"four"), (b"bob@bob.test", b"eve@bob.test"), (b"?\r\n", b"?\r\n.")):
        assert verify(message.replace(old, new)).result == "fail"
    assert verify(b"X-New: field\r\n" + message).result == "pass"


def test_keys_that_do_not_count() -> None:
    message = chain(1)
    name = key("first.test").record_name
    record = key("first.test").record()
    for wrong in ({}, {name: {"TXT": ["v=DKIM1; p="]}}, {name: {"TXT": [key("second.test").record()]}}):
        assert verify(message, dict(wrong)).result == "fail"
    for flags in ("k=ed25519", "h=sha1; k=rsa", "s=tlsrpt; k=rsa"):
        assert verify(message, {name: {"TXT": [record.replace("k=rsa", flags)]}}).result == "fail"
    assert verify(message, {name: {"TXT": [record]}}).result == "pass"


def test_a_failure_of_the_dns_is_a_failure_of_the_chain() -> None:
    records = zone() | {key("second.test").record_name: "SERVFAIL"}
    found = verify(chain(2), records)
    assert (found.result, found.temporary) == ("fail", True)  # §5.2.1
    assert not verify(chain(2), zone() | {key("second.test").record_name: "NXDOMAIN"}).temporary


def test_a_header_section_that_is_too_long_is_not_judged() -> None:
    message = chain(1).replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n", 1)
    assert verify(message).result == "fail"


@given(st.lists(st.integers(1, len(chain(2)) - 1), max_size=4))
def test_the_message_may_come_in_any_pieces(cuts: list[int]) -> None:
    message = chain(2)
    places = sorted({0, *cuts, len(message)})
    pieces = [message[start:end] for start, end in pairwise(places)]
    assert answer(verify_arc(iter(pieces), NOW), zone()).result == "pass"


def test_questions_are_known_before_the_body_has_come() -> None:
    verifier = ArcVerifier(NOW)
    hasher = MessageHasher(verifier.plan)
    message = chain(3)
    hasher.write(message[: message.index(b"\r\n\r\n") + 4])
    assert {each.name for each in verifier.questions} == {key(domain).record_name for domain in DOMAINS}
    broken = ArcVerifier(NOW)
    MessageHasher(broken.plan).write(b"ARC-Seal: i=1; cv=fail\r\n\r\n")
    assert broken.questions == []


def test_comments_that_do_not_end_cost_no_more_than_their_beginning() -> None:
    assert verify(chain(1, seal=replace(b"i=1;", b"(" + b"x" * 1_900 + b") i=1;"))).result == "pass"
    for comments in (b"(" * 100_000, b"()" * 50_000, b"(" + b"x" * 2_100 + b")"):
        found = verify(b"ARC-Seal: " + comments + b" i=1; cv=none\r\n" + MESSAGE)
        assert "no valid instance" in found.reason


@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_no_octets_make_the_verifier_fail_otherwise(name: bytes, value: bytes) -> None:
    message = name + b": " + value.replace(b"\n", b"") + b"\r\n" + chain(1)
    assert verify(message).result == "fail"
    verify(name + b": i=1; " + value + b"\r\n\r\n")


# -- sealing (§5.1) ---------------------------------------------------------------------------------------------------


def seal(message: bytes, domain: str = "first.test", **options: object) -> bytes:
    return answer(seal_arc(message, key(domain), f"mx.{domain}", now=NOW, **options), zone())  # type: ignore[arg-type]


def tags(field: bytes) -> dict[str, str]:
    text = re.sub(rb"\s", b"", field.partition(b":")[2]).decode()
    return dict(part.split("=", 1) for part in text.split(";") if part)  # type: ignore[misc]


def test_a_message_without_a_chain_gets_the_first_set() -> None:
    made = seal(MESSAGE)
    sealed, signed, results = fields(made)
    assert [each.name for each in (sealed, signed, results)] == [
        b"ARC-Seal",
        b"ARC-Message-Signature",
        b"ARC-Authentication-Results",
    ]
    assert {**tags(sealed.raw), "b": ""} == {
        "i": "1", "a": "rsa-sha256", "cv": "none", "d": "first.test", "s": "sel", "t": str(NOW), "b": "",
    }  # fmt: skip
    names = tags(signed.raw)["h"].lower().split(":")
    assert names.count("from") == 2  # another one cannot be added
    assert "dkim-signature" in names
    assert not {"arc-seal", "arc-message-signature", "arc-authentication-results", "authentication-results"} & set(
        names
    )
    assert "v" not in tags(signed.raw)
    opening, _, payload = results.value.decode().partition(";")
    assert opening == "i=1"
    assert read_results(payload) == read_results(fields(MESSAGE)[0].value)
    assert all(len(line) <= 78 for line in made.split(b"\r\n"))
    assert verify(made + MESSAGE).result == "pass"


def test_a_chain_grows_by_hosts_that_change_the_message() -> None:
    message = MESSAGE
    for number, domain in enumerate(DOMAINS, 1):
        found = verify(message)
        message = message.replace(b"Subject: ", b"Subject: [%d] " % number).replace(b"five?", b"five? %d" % number)
        message = seal(message, domain, arc=found) + message
        after = verify(message)
        assert (after.result, len(after.sets)) == ("pass", number)
        assert after.oldest_pass == (0 if number == 1 else number)
    second = sealed_results(verify(message).sets[1])
    assert second is not None
    assert second.results == (MethodResult("arc", "pass", (ResultProperty("header", "oldest-pass", "0"),)),)


def test_a_broken_chain_is_sealed_once_more_and_never_again() -> None:
    broken = chain(2).replace(b"five", b"four")
    made = seal(broken, "third.test")
    assert tags(fields(made)[0].raw)["cv"] == "fail"
    assert tags(fields(made)[0].raw)["i"] == "3"
    assert "arc=fail" in fields(made)[2].value.decode()
    found = verify(made + broken)
    assert (found.result, found.newest_failed, found.highest) == ("fail", True, 3)
    assert seal(made + broken) == b""
    # The seal covers its own set alone, so the wrong sets before do not matter to it (§5.1.2).
    own = answer(seal_arc(MESSAGE, key("first.test"), "mx.test", now=NOW, arc=ArcResult("fail", "", (), None, 2)), {})
    header, signed, results = fields(own)
    octets = relaxed(results.raw) + relaxed(signed.raw) + relaxed(re.sub(rb"(?s) b=.*", b" b=", header.raw))[:-2]
    assert key("first.test").sign(octets) == base64.b64decode(tags(header.raw)["b"])


@pytest.mark.parametrize(
    ("damaged", "instance"),
    [(b"ARC-Seal: nonsense\r\n", "1"), (b"ARC-Seal: i=7; x=y\r\n", "8"), (b"ARC-Seal: i=50\r\n", "")],
)
def test_the_new_instance_is_one_more_than_the_highest(damaged: bytes, instance: str) -> None:
    made = seal(damaged + MESSAGE)
    assert (tags(fields(made)[0].raw)["i"] if made else "") == instance


def test_a_full_chain_gets_no_set() -> None:
    assert seal(chain(50)) == b""
    assert seal(chain(49)) != b""


def test_all_results_of_this_service_are_sealed_and_no_others() -> None:
    message = (
        b"Authentication-Results: MX.first.test; spf=fail smtp.mailfrom=a.test\r\n"
        b"Authentication-Results: other.test; dmarc=pass\r\n"
        b"Authentication-Results: mx.first.test; dkim=pass (2048-bit key) header.d=a.test; arc=none\r\n"
        b"Authentication-Results: mx.first.test; broken=\r\n"
        b"Authentication-Results: mx.first.test; none\r\n"
    ) + MESSAGE
    found = verify(seal(message) + message)
    sealed = sealed_results(found.sets[0])
    assert sealed is not None
    assert [f"{each.method}={each.result}" for each in sealed.results] == [
        "spf=fail", "dkim=pass", "arc=none", "spf=pass", "dmarc=pass",
    ]  # fmt: skip
    given_results = [MethodResult("spf", "softfail", (ResultProperty("smtp", "mailfrom", "x.test"),))]
    made = seal(MESSAGE, results=given_results)
    assert fields(made)[2].value == b"i=1; mx.first.test;\tspf=softfail smtp.mailfrom=x.test"
    assert fields(seal(b"From: a@b.test\r\n\r\n"))[2].value == b"i=1; mx.first.test; none"


@pytest.mark.parametrize("canonicalization", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"])
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_sealed_messages_verify(canonicalization: str, kind: str) -> None:
    signer = key("new.test", kind)
    for body in (b"", b"\r\n\r\n", b"a \r\n\r\n b\t \r\n\r\n", b"no end"):
        message = b"From:  a@b.test\r\nX:\r\n  y\r\n\r\n" + body
        check = seal_arc(message, signer, "mx.test", canonicalization=canonicalization, now=NOW)
        assert verify(answer(check, {}) + message, zone(signer)).result == "pass"


def test_which_fields_are_signed_can_be_said() -> None:
    made = seal(MESSAGE, fields=("Subject", "to", "X-None"))
    assert tags(fields(made)[1].raw)["h"] == "From:Subject:to:X-None"
    assert verify(made + MESSAGE).result == "pass"
    for wrong in ("ARC-Seal", "arc-message-signature", "Authentication-Results", "Received", "a b", "", "a:b"):
        with pytest.raises(SettingError):
            seal(MESSAGE, fields=(wrong,))


def test_what_cannot_be_sealed() -> None:
    with pytest.raises(LocalError, match="no From"):
        seal(b"Subject: x\r\n\r\n")
    with pytest.raises(LocalError, match="too long"):
        seal(b"From: a@b.test\r\nX: " + b"x" * 300_000 + b"\r\n\r\n")
    with pytest.raises(LocalError, match="another ARC chain"):
        seal(MESSAGE, arc=verify(chain(1)))
    with pytest.raises(SettingError):
        seal(MESSAGE, canonicalization="relaxed")
    with pytest.raises(SettingError):
        ArcSealer(key("first.test"), "")


def test_a_text_with_lf_gets_fields_with_lf() -> None:
    text = MESSAGE.replace(b"\r\n", b"\n")
    made = seal(text)
    assert b"\r" not in made
    assert verify(made + text).result == "pass"


# -- trust (§7.2) -----------------------------------------------------------------------------------------------------


def test_a_trusted_sealer_vouches_for_what_came_to_it() -> None:
    found = verify(chain(2))
    assert vouching_set(found, ["first.test", "second.test"], "ann.test") == found.sets[1]
    assert vouching_set(found, ["second.test"], "ann.test") == found.sets[1]
    assert vouching_set(found, ["test"], "ann.test") == found.sets[1]
    assert vouching_set(found, ["first.test"], "ann.test") is None  # the later host may have changed the message
    assert vouching_set(found, ["cond.test"], "ann.test") is None
    assert vouching_set(found, ["second.test"], "eve.test") is None
    assert vouching_set(verify(chain(2), {}), ["test"], "ann.test") is None


def test_the_pass_may_have_been_seen_by_an_earlier_trusted_sealer() -> None:
    found = verify(chain(2, aar=replace(b"dmarc=pass", b"dmarc=fail")))
    assert vouching_set(found, ["first.test", "second.test"], "ann.test") == found.sets[0]
    assert vouching_set(found, ["second.test"], "ann.test") is None
    unreadable = verify(chain(1, aar=replace(b"dmarc=pass", b"dmarc=")))
    assert vouching_set(unreadable, ["first.test"], "ann.test") is None


def test_the_comment_of_a_dmarc_report() -> None:
    first = chain(1, aar=replace(b"; dmarc", b"; arc=none smtp.remote-ip=2001:db8::1a; dmarc"))
    assert verify(add_set(first, 2)).report_comment == (
        "arc=pass as[2].d=second.test as[2].s=sel as[1].d=first.test as[1].s=sel remote-ip[1]=2001:db8::1a"
    )
