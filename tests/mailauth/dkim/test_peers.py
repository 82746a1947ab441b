"""Signatures of other programs verified here, and ours verified by them: OpenDKIM, dkimpy, Mail::DKIM.

Each program reads or writes all awkward messages in one process.  Keys reach the programs by files or functions; there
is no DNS query.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import dkim
import pytest

from posthouse.mailauth import DkimKey, sign_dkim

from .messages import AWKWARD, ED25519, HEAD, RSA, ZONE, verified

METHODS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]
KEYS = {"rsa": RSA, "ed25519": ED25519}

#: Bodies that SMTP does not carry (RFC 5321 §2.3.8).
ONLY_OCTETS = {
    "no final line end": HEAD + b"\r\nNoon?",
    "white space at the end": HEAD + b"\r\nNoon?\r\n \t",
    "bare CR and LF": HEAD + b"\r\na\rb\nc\r\r\n\n\r\n",
}


def texts(**changes: str) -> dict[str, str]:
    """Name → key record of both keys."""
    return {key.record_name: key.record() for key in KEYS.values()} | changes


# dkimpy ------------------------------------------------------------------------------------------------------------


def lookup(name: bytes, timeout: int = 5) -> bytes | None:
    """The DNS of dkimpy."""
    record = texts().get(name.decode().removesuffix("."))
    return record.encode() if record else None


@pytest.fixture(params=KEYS, scope="module")
def key(request: pytest.FixtureRequest) -> DkimKey:
    return KEYS[request.param]


@pytest.mark.parametrize("method", METHODS)
def test_dkimpy_verifies_ours(method: str, key: DkimKey) -> None:
    for name, message in AWKWARD.items():
        field = sign_dkim(message, key, canonicalization=method)
        assert dkim.verify(field + message, dnsfunc=lookup), name
        assert not dkim.verify(field + message + b"x\r\n", dnsfunc=lookup), name


@pytest.mark.parametrize("method", METHODS)
def test_ours_verifies_dkimpy(method: str, key: DkimKey) -> None:
    header, _, body = method.encode().partition(b"/")
    secret = key.pem() if key is RSA else base64.b64encode(key_octets(key))
    for name, message in AWKWARD.items():
        field = dkim.sign(
            message, key.selector.encode(), b"example.org", secret, None, (header, body),
            key.algorithm.encode(), None, length=len(name) % 2 == 0,
        )  # fmt: skip
        found = verified(field + message, now=4_000_000_000)
        assert found.result == "pass", (name, found.reason)
        assert verified(field + message.replace(b"lunch", b"lynch"), now=4_000_000_000).result == "fail", name


def key_octets(key: DkimKey) -> bytes:
    """The 32 octets of an Ed25519 key: the end of its PKCS#8 form (RFC 8410 §7)."""
    return base64.b64decode(b"".join(key.pem().splitlines()[1:-1]))[-32:]


# OpenDKIM ----------------------------------------------------------------------------------------------------------

opendkim_is_here = pytest.mark.system("opendkim", "opendkim")


def for_opendkim(method: str) -> dict[str, bytes]:
    """The messages that OpenDKIM is given.

    Its test mode hands fields over as old filters get them: without the white space behind the colon, which the simple
    canonicalization keeps.  So messages are left out for it in which that is not one space.
    """
    if method.startswith("relaxed"):
        return AWKWARD
    usual = re.compile(rb"(?:[!-9;-~]+: [^ \t\r\n][^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")
    return {name: each for name, each in AWKWARD.items() if usual.fullmatch(each.partition(b"\r\n\r\n")[0] + b"\r\n")}


def opendkim(directory: Path, settings: str, messages: Sequence[bytes]) -> str:
    """What OpenDKIM's filter says in its test mode, in which it is given files instead of a milter connection."""
    configuration = directory / "opendkim.conf"
    configuration.write_text(f"Syslog no\nRequireSafeKeys no\n{settings}\n")
    files = []
    for number, message in enumerate(messages):
        files.append(directory / f"{number}.eml")
        files[-1].write_bytes(message)
    done = subprocess.run(
        ["opendkim", "-f", "-x", configuration, "-v", "-v", "-v", "-t", ",".join(map(str, files))],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def inserted(output: str, name: str) -> Iterator[str]:
    """The values of the fields of that name that the filter would insert, in the order of the messages."""
    for found in re.finditer(rf"### INSHEADER: idx=\d+ hname='{name}' hvalue='([^']*)'", output):
        yield found[1]


@opendkim_is_here
@pytest.mark.parametrize("method", METHODS)
def test_opendkim_verifies_ours(method: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("".join(f"{name} {text}\n" for name, text in texts().items()))
    good = [sign_dkim(each, [RSA, ED25519], canonicalization=method) + each for each in for_opendkim(method).values()]
    bad = [each.replace(b"lunch", b"lynch") for each in good]
    output = opendkim(
        tmp_path, f"Mode v\nMaximumSignaturesToVerify 9\nTestPublicKeys {tmp_path / 'keys'}", [*good, *bad]
    )
    results = [re.findall(r"dkim=(\w+)", value) for value in inserted(output, "Authentication-Results")]
    expected = [["pass", "pass"]] * len(good) + [["fail", "fail"]] * len(bad)
    assert results == expected


# With an Ed25519 key and the simple header canonicalization, OpenDKIM 2.11 folds the field after it has signed it: it
# does not verify that itself.
@opendkim_is_here
@pytest.mark.parametrize(
    ("kind", "method"), [*(("rsa", method) for method in METHODS), *(("ed25519", method) for method in METHODS[2:])]
)
def test_ours_verifies_opendkim(kind: str, method: str, tmp_path: Path) -> None:
    key, messages = KEYS[kind], for_opendkim(method)
    (tmp_path / "key.pem").write_bytes(key.pem())
    output = opendkim(
        tmp_path,
        f"Mode s\nDomain example.org\nSelector {key.selector}\nKeyFile {tmp_path / 'key.pem'}\n"
        f"SignatureAlgorithm {key.algorithm}\nCanonicalization {method}\nOversignHeaders From",
        list(messages.values()),
    )
    fields = list(inserted(output, "DKIM-Signature"))
    assert len(fields) == len(messages), output
    for field, (name, message) in zip(fields, messages.items(), strict=True):
        raw = b"DKIM-Signature: " + field.replace("\n", "\r\n").encode() + b"\r\n"
        found = verified(raw + message, now=4_000_000_000)
        assert found.result == "pass", (name, found.reason)
        assert verified(raw + message + b"x\r\n", now=4_000_000_000).result == "fail", name


# Mail::DKIM --------------------------------------------------------------------------------------------------------


def for_mail_dkim(method: str) -> dict[str, bytes]:
    """The messages that Mail::DKIM is given; in simple bodies it does not add the last line end (RFC 6376 §3.4.3)."""
    return AWKWARD if method.endswith("simple") else {**AWKWARD, **ONLY_OCTETS}


mail_dkim_is_here = pytest.mark.system("libmail-dkim-perl", "/usr/share/perl5/Mail/DKIM/Verifier.pm")


def mail_dkim(**request: object) -> dict[str, list[str]]:
    """The answer of Mail::DKIM; RSA is the only kind of key that its Debian version knows."""
    script = Path(__file__).with_name("mail_dkim.pl")
    done = subprocess.run(
        ["perl", script], input=json.dumps(request).encode(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def packed(messages: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in messages]


@mail_dkim_is_here
@pytest.mark.parametrize("method", METHODS)
def test_mail_dkim_verifies_ours(method: str) -> None:
    messages = for_mail_dkim(method)
    good = [sign_dkim(each, RSA, canonicalization=method) + each for each in messages.values()]
    bad = [each + b"x\r\n" for each in good]
    results = mail_dkim(zone=texts(), verify=packed([*good, *bad]))["results"]
    assert dict(zip(messages, results[: len(good)], strict=True)) == dict.fromkeys(messages, "pass")
    assert all(result.startswith("fail") for result in results[len(good) :])


@mail_dkim_is_here
@pytest.mark.parametrize("method", METHODS)
def test_ours_verifies_mail_dkim(method: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(RSA.pem())
    messages = for_mail_dkim(method)
    fields = mail_dkim(
        sign=packed(list(messages.values())), pem=str(tmp_path / "key.pem"), method=method, domain="example.org",
        selector=RSA.selector, zone={},
    )["fields"]  # fmt: skip
    for field, (name, message) in zip(fields, messages.items(), strict=True):
        found = verified(base64.b64decode(field) + message, ZONE, now=4_000_000_000)
        assert found.result == "pass", (name, found.reason)
