"""DKIM verified and signed: ours, dkimpy, and OpenDKIM by the test mode of its filter (``scripts/bench dkim``).

    python benchmarks/signatures.py [--seconds 2] [--rounds 3] [--json] [--save]

Messages of 4 KiB, 64 KiB and 1 MiB with the header section of an ordinary mail are signed and verified in one thread,
relaxed/relaxed, with RSA keys of 2,048 bits, Ed25519 keys, and both.  Ours and dkimpy verify the same octets, signed by
ours; the keys are in memory, so that nobody waits for the DNS.  Each side is measured in turn, and processor time is
counted.

``openssl`` and ``libsodium`` are the public-key operation alone, on a hash, in a loop of its own: the most that
Posthouse and, with Ed25519, dkimpy can reach.  ``--save`` writes the figures for the manual's page.

OpenDKIM is given many files in one process (``opendkim -t``), and the time for one file is taken off.  Its figure has
in it what the test mode writes and the reading of the files, and no part in an aim.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))  # behind a compiled copy, if one is named

import dkim

from posthouse.mailauth import DkimKey, Zone, answer, sign_dkim, verify_dkim

_RANDOM: Final = random.Random(14)
_WORDS: Final = ("the", "figures", "of", "this", "quarter", "are", "attached", "and", "will", "be", "explained")
_HEAD: Final = (
    b"Received: from client.example.org (client.example.org [192.0.2.7])\r\n by mx.example.org (Postfix) with ESMTPSA "
    b"id 4TxyzA\r\n for <ren@example.net>; Mon, 23 Nov 2026 16:00:00 +0800 (CST)\r\n"
    b"From: Ann Example <ann@example.org>\r\nTo: Ren Ping <ren@example.net>, Bob <bob@example.net>\r\n"
    b"Subject: the figures of this quarter, and when they will be explained\r\n"
    b"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\n"
    b"Message-ID: <20261123160000.4711@example.org>\r\nIn-Reply-To: <1@example.net>\r\nReferences: <0@example.net>\r\n"
    b" <1@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\nUser-Agent: Example/1.0\r\n\r\n"
)
SIZES: Final = {"4 KiB": 4_096, "64 KiB": 65_536, "1 MiB": 1_048_576}
RSA: Final = DkimKey.generate("example.org", "rsa", bits=2048)
ED25519: Final = DkimKey.generate("example.org", "ed", "ed25519")
KEYS: Final = {"RSA 2048": [RSA], "Ed25519": [ED25519], "both": [RSA, ED25519]}
_RECORDS: Final = {f"{key.record_name}.".encode(): key.record().encode() for key in (RSA, ED25519)}
ZONE: Final = Zone({key.record_name: {"TXT": [key.record()]} for key in (RSA, ED25519)})


def message(size: int) -> bytes:
    """A text of so many octets in lines of 12 words, with an empty line now and then."""
    lines = bytearray()
    while len(_HEAD) + len(lines) < size - 2:
        lines += " ".join(_RANDOM.choice(_WORDS) for _ in range(12)).encode() + b"\r\n" * _RANDOM.choice((1, 1, 1, 2))
    return _HEAD + bytes(lines[: size - len(_HEAD) - 2]) + b"\r\n"


def found_by_dkimpy(name: bytes, timeout: int = 5) -> bytes:
    """A key record, as dkimpy asks for it."""
    return _RECORDS[name]


def verify_ours(octets: bytes) -> None:
    assert answer(verify_dkim(octets), ZONE).result == "pass"


def verify_dkimpy(octets: bytes) -> None:
    for number in range(octets[: octets.index(b"\r\nReceived")].count(b"DKIM-Signature:")):
        assert dkim.DKIM(octets).verify(number, dnsfunc=found_by_dkimpy)


def sign_dkimpy(octets: bytes, keys: list[DkimKey]) -> bytes:
    fields = b""
    for key in keys:
        secret = key.pem() if key.kind == "rsa" else _seed(key)
        fields += dkim.sign(
            octets, key.selector.encode(), b"example.org", secret, canonicalize=(b"relaxed", b"relaxed"),
            signature_algorithm=key.algorithm.encode(),
        )  # fmt: skip
    return fields


def _seed(key: DkimKey) -> bytes:
    return base64.b64encode(base64.b64decode(b"".join(key.pem().splitlines()[1:-1]))[-32:])


def operations(key: DkimKey) -> dict[str, dict[str, Callable[[], object]]]:
    """Work → library → the public-key operation alone."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from nacl.signing import SigningKey

    private: Any = load_pem_private_key(key.pem(), None)
    public, digest = private.public_key(), hashlib.sha256(b"a header section").digest()
    if key.kind == "rsa":
        made = private.sign(digest, PKCS1v15(), SHA256())
        return {
            "verify": {"openssl": lambda: public.recover_data_from_signature(made, PKCS1v15(), None)},
            "sign": {"openssl": lambda: private.sign(digest, PKCS1v15(), SHA256())},
        }
    made = private.sign(digest)
    other = SigningKey(base64.b64decode(_seed(key)))
    return {
        "verify": {
            "openssl": lambda: public.verify(made, digest),
            "libsodium": lambda: other.verify_key.verify(digest, made),
        },
        "sign": {"openssl": lambda: private.sign(digest), "libsodium": lambda: other.sign(digest)},
    }


def rate(work: Callable[[], object], seconds: float) -> float:
    """How many calls a second of processor time.  The clock is read once in 16 calls: reading it is a system call."""
    work()
    began = now = time.process_time()
    count = 0
    while now - began < seconds:
        for _ in range(16):
            work()
        count += 16
        now = time.process_time()
    return count / (now - began)


def opendkim(octets: bytes, settings: str, count: int) -> float:
    """How many messages OpenDKIM's filter takes in a second of processor time."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        directory = Path(place)
        (directory / "keys").write_text("".join(f"{key.record_name} {key.record()}\n" for key in (RSA, ED25519)))
        (directory / "key.pem").write_bytes(RSA.pem())
        (directory / "c").write_text(
            f"Syslog no\nRequireSafeKeys no\nMaximumSignaturesToVerify 9\n{settings.format(directory=directory)}\n"
        )
        for number in range(count):
            (directory / str(number)).write_bytes(octets)
        spent = [_processor_time(directory, number) for number in (1, count)]
        return (count - 1) / (spent[1] - spent[0])


def _processor_time(directory: Path, count: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = ",".join(str(number) for number in range(count))
    done = subprocess.run(
        ["opendkim", "-f", "-x", "c", "-v", "-v", "-v", "-t", files], cwd=directory, capture_output=True, check=True
    )
    assert len(re.findall(rb"### INSHEADER", done.stdout)) == count
    assert not re.findall(rb"dkim=(?!pass)", done.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sides(octets: bytes, keys: list[DkimKey]) -> dict[str, dict[str, Callable[[], object]]]:
    """Work → side → one message."""
    signed = sign_dkim(octets, keys) + octets
    return {
        "verify": {"posthouse": lambda: verify_ours(signed), "dkimpy": lambda: verify_dkimpy(signed)},
        "sign": {"posthouse": lambda: sign_dkim(octets, keys), "dkimpy": lambda: sign_dkimpy(octets, keys)},
    }


def main() -> int:
    """Measure and print; 1 if an aim (10 times dkimpy at 4 KiB) is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for size, octets in SIZES.items():
        made = message(octets)
        for kind, keys in KEYS.items():
            if size != "4 KiB" and kind != "RSA 2048":
                continue
            for work, calls in sides(made, keys).items():
                if size == "4 KiB" and len(keys) == 1:
                    calls |= operations(keys[0])[work]
                rounds = [
                    {name: rate(call, given.seconds) for name, call in calls.items()} for _ in range(given.rounds)
                ]
                found = {name: median(each[name] for each in rounds) for name in calls}
                if shutil.which("opendkim") and kind == "RSA 2048":
                    signed = sign_dkim(made, keys) + made if work == "verify" else made
                    mode = (
                        "Mode v\nTestPublicKeys {directory}/keys"
                        if work == "verify"
                        else (
                            "Mode s\nDomain example.org\nSelector rsa\nKeyFile {directory}/key.pem\n"
                            "Canonicalization relaxed/relaxed\nSignatureAlgorithm rsa-sha256"
                        )
                    )
                    found["opendkim"] = opendkim(signed, mode, 400 if octets < 1_000_000 else 40)
                figures[f"{work} {size} {kind}"] = found
    if given.save:
        path = Path(__file__).parent / "results" / "signatures.json"
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if given.json:
        print(json.dumps(figures))
        return 0
    for name, found in figures.items():
        ratio = found["posthouse"] / found["dkimpy"]
        print(f"{name:24} {ratio:5.1f} × dkimpy: " + ", ".join(f"{side} {each:,.0f}/s" for side, each in found.items()))
    if not shutil.which("opendkim"):
        print("opendkim is not installed; apt-get install opendkim")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
