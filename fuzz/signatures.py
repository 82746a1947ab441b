"""Targets for DKIM: signed messages, key records, canonical bodies."""

from __future__ import annotations

from posthouse.core import Answer, Status
from posthouse.mailauth import DkimPolicy, DkimResult, verify_dkim
from posthouse.mailauth.dkim import BodyCanonicalizer, Canonicalization, read_key_record
from posthouse.mailauth.tag_list import TagFault, read_tags

__all__ = ["dkim_bodies", "dkim_records", "dkim_signatures"]

_WORDS = {"pass", "fail", "policy", "neutral", "temperror", "permerror"}
_POLICY = DkimPolicy(max_signatures=4)


def dkim_signatures(data: bytes) -> None:
    """Signed messages: a key record, NUL, the message.  There is a verdict, the same however the message is cut."""
    record, _, message = data.partition(b"\0")
    whole = _judged(record, [message])
    middle = sum(message[:16]) % (len(message) + 1)
    assert _judged(record, [message[:middle], message[middle:]]) == whole
    if len(message) < 512:
        assert _judged(record, [message[at : at + 1] for at in range(len(message))]) == whole
    assert len(whole.signatures) <= 4
    assert (whole.result == "none") is (not whole.signatures)
    for each in whole.signatures:
        assert each.result in _WORDS
        assert "\n" not in each.reason + each.domain + each.selector + each.identity
        assert each.unsigned_octets >= 0
    assert repr(whole)


def _judged(record: bytes, chunks: list[bytes]) -> DkimResult:
    check = verify_dkim(chunks, 1_800_000_000, _POLICY)
    try:
        next(check)
        for _ in range(5):
            check.send(Answer(Status.OK, (record,)))
    except StopIteration as end:
        found: DkimResult = end.value
        return found
    raise AssertionError("the check does not end")


def dkim_records(data: bytes) -> None:
    """Key records and tag lists: read, or refused with a reason on one line; what is read is written and read again."""
    try:
        tags = read_tags(data)
        record = read_key_record(data)
    except TagFault as fault:
        assert str(fault)
        assert "\n" not in str(fault)
        return
    again = ";".join(f"{name}={value}" for name, value in tags.items())
    assert read_tags(again.encode()) == tags
    assert record.revoked is not bool(record.public)
    assert record == read_key_record(again.encode())


def dkim_bodies(data: bytes) -> None:
    """Bodies: the first octet says how the rest is cut; the canonical form is the same, and canonical."""
    step, body = data[0] % 7 + 1 if data else 1, data[1:]
    for canonicalization in Canonicalization:
        whole = _canonical([body], canonicalization)
        assert _canonical([body[at : at + step] for at in range(0, len(body), step)], canonicalization) == whole
        assert _canonical([whole], canonicalization) == whole
        assert not whole.endswith(b"\r\n\r\n")
        assert whole.endswith(b"\r\n") or not whole


def _canonical(chunks: list[bytes], canonicalization: Canonicalization) -> bytes:
    made: list[bytes] = []
    canonicalizer = BodyCanonicalizer(canonicalization, made.append)
    for chunk in chunks:
        canonicalizer.write(chunk)
    canonicalizer.finish()
    return b"".join(made)
