"""Receiving with full verification: SPF, DKIM, ARC and DMARC of each message, beside Postfix with two milters.

Both sides get the same message of 4 KiB, signed with RSA-2048, from smtp-source on 20 kept sessions, ask the same kind
of DNS server (dnsmasq), and store each message durably.  Postfix has OpenDKIM for DKIM, and OpenDMARC for SPF and
DMARC; they do not know ARC.  OpenDKIM has the key in a file: its libunbound asks no server on loopback and knows no
domain "test", and its configuration for that is read without a lock, which ends the program under load.  Before a side
is measured, one message proves that it is verified and passes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from suite import loads, peers
from suite.running import Loaded

__all__ = ["postfix", "posthouse"]

#: Each side's DNS server, on port 53, because resolv.conf knows no other.
_OUR_DNS, _THEIR_DNS = "127.0.0.77", "127.0.0.78"
_OURS = """\
hostname = "bench.test"
data_dir = "{home}/data"
[[listener]]
bind = "127.0.0.1:{port}"
kind = "mx"
verify = "enforce"
max_connections = 20000
max_connections_per_host = 20000
[[domain]]
name = "hold.test"
deliver = "discard"
[dns]
nameservers = ["{dns}"]
"""
_DKIM = "Syslog no\nMode v\nSocket inet:{port}@127.0.0.1\nInternalHosts {home}/nobody\nTestPublicKeys {home}/keys\n"
_DMARC = (
    "Syslog false\nSocket inet:{port}@127.0.0.1\nAuthservID bench.test\nTrustedAuthservIDs bench.test\n"
    "IgnoreHosts {home}/nobody\nSPFIgnoreResults true\nSPFSelfValidate true\nRejectFailures true\n"
)


def _needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None and not Path(f"/usr/sbin/{name}").exists():
            raise peers.Absent(f"{name} is not installed: apt-get install {name.replace('dnsmasq', 'dnsmasq-base')}")
    if os.geteuid() != 0:
        raise peers.Absent("a DNS server on port 53, and Postfix, start only as root")


@contextlib.contextmanager
def _processes(*commands: Sequence[str], log: Path) -> Iterator[None]:
    """Programs that run during the block."""
    with log.open("ab") as out, contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
            stack.callback(peers.end_process, process)
            stack.callback(process.terminate)
        yield


def _message(home: Path) -> tuple[Path, str]:
    """The file with the signed message, its lines ended by LF, and the DNS record of its key."""
    from posthouse.mailauth import DkimKey, sign_dkim

    key = DkimKey.generate("src.test", "load", "rsa")
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    named = f"From: load@src.test\r\nTo: someone@hold.test\r\nSubject: load\r\nDate: {date}\r\n"
    head = f"{named}Message-ID: <1@src.test>\r\n"
    content = f"{head}\r\n{('x' * 70 + chr(13) + chr(10)) * 50}".encode()
    path = home / "message"
    path.write_bytes((sign_dkim(content, key) + content).replace(b"\r\n", b"\n"))
    return path, key.record()


def _dns(record: str, address: str) -> list[str]:
    """The DNS server with all records."""
    strings = [record[at : at + 250] for at in range(0, len(record), 250)]
    texts = (
        ["src.test", "v=spf1 ip4:127.0.0.1 -all"],
        ["_dmarc.src.test", "v=DMARC1; p=reject"],
        ["load._domainkey.src.test", *strings],
    )
    command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--no-daemon", "--user=root"]
    command += [
        f"--listen-address={address}",
        "--bind-interfaces",
        "--port=53",
        "--local=/test/",
        "--conf-file=/dev/null",
    ]
    command += ["--host-record=src.test,127.0.0.1", "--pid-file=", "--local-ttl=300", "--neg-ttl=300"]
    return [*command, *(f"--txt-record={','.join(each)}" for each in texts)]


def _load(message: Path, port: int, amount: int) -> float:
    command = loads.smtp_source_command(port, amount, sessions=20)
    at = command.index("-l")
    command[at : at + 2] = ["-F", str(message)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"smtp-source failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - begun


def _until_said(path: Path, pattern: str) -> None:
    """Wait until a log says that the first message was verified and passed."""
    peers.wait_for(
        f"{pattern!r} in {path}", lambda: path.exists() and bool(re.search(pattern, path.read_text("utf-8")))
    )


@contextlib.contextmanager
def posthouse(home: Path) -> Iterator[Loaded]:
    """Ours: ``verify = "enforce"``."""
    _needs("dnsmasq")
    home.mkdir(parents=True)
    message, record = _message(home)
    port = peers.free_port()
    (home / "posthouse.toml").write_text(_OURS.format(home=home, port=port, dns=_OUR_DNS))
    command = [sys.executable, "-m", "posthouse", "run", "--config", str(home / "posthouse.toml")]
    version = peers.first_line([sys.executable, "-m", "posthouse", "--version"])
    with (
        _processes(_dns(record, _OUR_DNS), log=home / "dns.log"),
        peers.running("posthouse", version, port, command, home) as side,
    ):
        _load(message, port, 1)
        _until_said(home / "posthouse.log", "results=.*spf=pass dkim=pass dmarc=pass")
        yield Loaded(lambda amount: _load(message, port, amount), side)


@contextlib.contextmanager
def postfix(home: Path) -> Iterator[Loaded]:
    """Postfix, OpenDKIM and OpenDMARC; the last asks the servers of resolv.conf, so it gets a mount of its own."""
    _needs("dnsmasq", "opendkim", "opendmarc", "unshare")
    milters = [peers.free_port(), peers.free_port()]
    where = home.parent / f"{home.name}-milters"
    where.mkdir(parents=True)
    message, record = _message(where)
    (where / "keys").write_text(f"load._domainkey.src.test {record}\n")
    (where / "nobody").write_text("192.0.2.1\n")
    (where / "resolv.conf").write_text(f"nameserver {_THEIR_DNS}\n")
    for name, text, port in (("dkim", _DKIM, milters[0]), ("dmarc", _DMARC, milters[1])):
        (where / name).write_text(text.format(home=where, port=port, dns=_THEIR_DNS))
    mounted = f"mount --bind {where}/resolv.conf /etc/resolv.conf && exec opendmarc -f -c {where}/dmarc"
    programs = (
        _dns(record, _THEIR_DNS),
        ["opendkim", "-f", "-x", str(where / "dkim")],
        ["unshare", "-m", "sh", "-c", mounted],
    )
    settings = {
        "smtpd_milters": ", ".join(f"inet:127.0.0.1:{port}" for port in milters),
        "milter_default_action": "tempfail",
        "mynetworks": "192.0.2.1/32",
        "header_checks": f"regexp:{where}/checks",
        "milter_header_checks": f"regexp:{where}/checks",
    }
    (where / "checks").write_text("/^Authentication-Results:/ INFO\n")
    with _processes(*programs, log=where / "log"):
        for port in milters:
            peers.wait_for(f"the milter (its log: {where}/log)", partial(_listens, port))
        with peers.postfix(home, more=settings) as side:
            _load(message, side.port, 1)
            _until_said(home / "mail.log", "dkim=pass")
            _until_said(home / "mail.log", "dmarc=pass")
            yield Loaded(lambda amount: _load(message, side.port, amount), side)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
