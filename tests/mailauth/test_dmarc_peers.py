"""DMARC beside OpenDMARC: both judge the same messages by the same records.

OpenDMARC follows RFC 7489, so the cases are those in which RFC 9989 says the same.  One kind is left out: with a list
of public suffixes, OpenDMARC 1.4.2 lets a signature of a subdomain pass although the author's domain has ``adkim=s``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from posthouse.mailauth import answer, check_dmarc

pytestmark = pytest.mark.system("opendmarc", "opendmarc")

RECORDS = {
    "src.test": "v=DMARC1; p=reject; sp=quarantine",
    "strict.test": "v=DMARC1; p=reject; adkim=s; aspf=s",
    "lax.test": "v=DMARC1; p=none; sp=reject; adkim=r",
    "own.src.test": "v=DMARC1; p=none",
    "spaced.test": "v=DMARC1 ;p=quarantine ; adkim=s;",
}
#: Author, domain of a signature that passes ("" for none).
CASES = [
    ("src.test", "src.test"),
    ("src.test", ""),
    ("src.test", "other.test"),
    ("src.test", "sub.src.test"),
    ("sub.src.test", "src.test"),
    ("sub.src.test", "twin.src.test"),
    ("sub.src.test", "notsrc.test"),
    ("deep.sub.src.test", ""),
    ("own.src.test", ""),
    ("own.src.test", "src.test"),
    ("strict.test", "strict.test"),
    ("sub.strict.test", "strict.test"),
    ("sub.strict.test", "sub.strict.test"),
    ("lax.test", "a.b.lax.test"),
    ("sub.lax.test", "other.test"),
    ("SRC.test", "Src.TEST"),
    ("spaced.test", "spaced.test"),
    ("spaced.test", "other.test"),
    ("absent.test", "absent.test"),
]
SETTINGS = """
AuthservID mx.test
TrustedAuthservIDs mx.test
Syslog no
RejectFailures no
SPFSelfValidate no
PublicSuffixList {directory}/suffixes
TestDNSData {directory}/records
"""


def test_both_judge_alike(tmp_path: Path) -> None:
    (tmp_path / "suffixes").write_text("test\n")
    (tmp_path / "records").write_text("".join(f"_dmarc.{name} {text}\n" for name, text in RECORDS.items()))
    (tmp_path / "conf").write_text(SETTINGS.format(directory=tmp_path))
    for number, (author, signer) in enumerate(CASES):
        said = f"dkim=pass header.d={signer}" if signer else "dkim=none"
        text = f"Authentication-Results: mx.test; {said}\r\nFrom: ann@{author}\r\nSubject: tea\r\n\r\nAt five?\r\n"
        (tmp_path / str(number)).write_bytes(text.encode())
    files = ",".join(str(number) for number in range(len(CASES)))
    command = ["opendmarc", "-c", "conf", "-v", "-v", "-t", files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=True)
    theirs = re.findall(r"dmarc=(\w+) \(p=(\w+) ", done.stdout.decode())

    zone = {f"_dmarc.{name}": {"TXT": [text]} for name, text in RECORDS.items()}
    found = [answer(check_dmarc(author, None, signer or None), zone) for author, signer in CASES]
    ours = [(each.result, each.policy or "none") for each in found]
    assert list(zip(CASES, ours, strict=True)) == list(zip(CASES, theirs, strict=True))
    assert {word for word, _ in ours} == {"pass", "fail", "none"}
