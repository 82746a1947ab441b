"""What scanners find at a daemon's listeners: nmap's scripts for SMTP and TLS, and testssl.sh.

``docs/security.md`` says of everything that a scanner reports beyond this why it is so.
"""

from __future__ import annotations

import asyncio
import csv
import re
from pathlib import Path

import pytest

from .peers import opened, program, run

CONFIG = """
hostname = "mx.test"
[[listener]]
name = "mx"
bind = "127.0.0.1:0"
tls = "starttls"
[[listener]]
name = "submission"
bind = "127.0.0.1:0"
kind = "submission"
tls = "starttls"
tls_required = true
[[listener]]
name = "implicit"
bind = "127.0.0.1:0"
kind = "submission"
tls = "implicit"
[[domain]]
name = "home.test"
mailboxes = ["ann"]
[relay]
trusted_networks = []
"""
#: A plus runs a script whatever the port is called.
ABOUT_SMTP = (
    "+smtp-commands,+smtp-open-relay,+smtp-ntlm-info,"
    "+smtp-vuln-cve2010-4344,+smtp-vuln-cve2011-1720,+smtp-vuln-cve2011-1764"
)
ABOUT_TLS = "+ssl-enum-ciphers,+ssl-heartbleed,+ssl-ccs-injection,+ssl-poodle,+ssl-dh-params,+ssl-known-key"


@pytest.mark.system("nmap", "nmap")
def test_nmap_finds_no_open_relay_no_old_tls_and_no_known_hole(tmp_path: Path) -> None:
    async def scan(scripts: str, *ports: int) -> str:
        wanted = ",".join(map(str, ports))
        return await program("nmap", "-Pn", "-n", "-sT", "-p", wanted, "--script", scripts, "127.0.0.1")

    async def scenario() -> None:
        async with opened(CONFIG, tmp_path) as host:
            ports = {name: place.port for name, place in host.daemon.endpoints.items()}
            smtp, tls = await asyncio.gather(
                scan(ABOUT_SMTP, ports["mx"], ports["submission"]), scan(ABOUT_TLS, ports["implicit"])
            )
        assert "open relay, all tests failed" in smtp, smtp  # at the mx
        assert "open relay, authentication needed" in smtp, smtp  # at the submission listener
        assert smtp.count("CHUNKING") == 2, smtp
        for report in (smtp, tls):
            assert "State: VULNERABLE" not in report, report
            assert "State: LIKELY VULNERABLE" not in report, report
        versions = re.findall(r"(SSLv\d|TLSv1\.\d):", tls)
        assert versions == ["TLSv1.2", "TLSv1.3"], tls
        assert "least strength: A" in tls, tls
        assert re.findall(r"compressors: \n\|\s+(\w+)", tls) == ["NULL"], tls

    run(scenario, 120)


#: Protocols, renegotiation, compression, and the holes with a name that are no matter of the cipher suites.
FOR_TESTSSL = ("-p", "-R", "-C", "-O", "-H", "-I", "-W", "-F", "-D")


@pytest.mark.system("testssl.sh", "testssl")
@pytest.mark.parametrize("listener", ["mx", "implicit"])
def test_testssl_finds_nothing(tmp_path: Path, listener: str) -> None:
    async def scenario() -> None:
        report = tmp_path / "report.csv"
        async with opened(CONFIG, tmp_path / "data") as host:
            place = f"127.0.0.1:{host.daemon.endpoints[listener].port}"
            how = ("--warnings", "batch", "--nodns", "none", "--quiet", "--openssl", "/usr/bin/openssl")
            starttls = ("-t", "smtp") if listener == "mx" else ()
            await program("testssl", *how, "--csvfile", report, *FOR_TESTSSL, *starttls, place)
        with report.open(newline="") as lines:
            found = {row["id"]: (row["severity"], row["finding"]) for row in csv.DictReader(lines)}
        found.pop("engine_problem", None)  # of its own OpenSSL
        assert found["TLS1"] == ("INFO", "not offered"), found
        assert found["TLS1_2"] == ("OK", "offered"), found
        assert found["TLS1_3"][0] == "OK", found
        assert {"secure_renego", "secure_client_renego", "CRIME_TLS", "heartbleed", "CCS", "POODLE_SSL"} <= set(found)
        assert {each: of for each, of in found.items() if of[0] not in ("OK", "INFO", "DEBUG")} == {}

    run(scenario, 120)
