"""swaks as a proxy: the PROXY protocol in both versions, and XCLIENT."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from posthouse.service import Daemon, parse

CONFIG = """
hostname = "mx.test"
data_dir = "{0}"
[[listener]]
bind = "127.0.0.1:0"
name = "proxied"
proxy_networks = ["127.0.0.1"]
[[listener]]
bind = "127.0.0.1:0"
name = "xclient"
xclient_networks = ["127.0.0.1"]
[[domain]]
name = "hold.test"
deliver = "discard"
"""
V4 = "--proxy-source 192.0.2.7 --proxy-source-port 5000 --proxy-dest 192.0.2.1 --proxy-dest-port 25"
V6 = "--proxy-source 2001:db8::7 --proxy-source-port 5000 --proxy-dest 2001:db8::1 --proxy-dest-port 25"


@pytest.mark.system("swaks", "swaks")
@pytest.mark.parametrize(
    ("listener", "options", "source"),
    [
        ("proxied", f"--proxy-version 1 --proxy-family TCP4 {V4}", "proxied 192.0.2.7:5000"),
        ("proxied", f"--proxy-version 1 --proxy-family TCP6 {V6}", "proxied 2001:db8::7:5000"),
        (
            "proxied",
            f"--proxy-version 2 --proxy-command PROXY --proxy-family AF_INET --proxy-protocol STREAM {V4}",
            "proxied 192.0.2.7:5000",
        ),
        (
            "proxied",
            f"--proxy-version 2 --proxy-command PROXY --proxy-family AF_INET6 --proxy-protocol STREAM {V6}",
            "proxied 2001:db8::7:5000",
        ),
        (
            "xclient",
            "--xclient-addr 192.0.2.7 --xclient-port 4000 --xclient-name spike.test --xclient-helo real.test",
            "xclient 192.0.2.7:4000",
        ),
    ],
)
def test_swaks_speaks_for_another_client(tmp_path: Path, listener: str, options: str, source: str) -> None:
    accepted: list[str] = []

    def log(event: str, /, **fields: Any) -> None:
        if event == "accepted":
            accepted.append(fields["source"])

    async def scenario() -> None:
        daemon = Daemon(parse(CONFIG.format(tmp_path)), log=log)
        await daemon.start()
        try:
            server = f"127.0.0.1:{daemon.endpoints[listener].port}"
            command = f"swaks --server {server} --helo client.test --from b@x.test --to a@hold.test {options}"
            program = await asyncio.create_subprocess_exec(
                *command.split(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await asyncio.wait_for(program.communicate(), 60)
            assert program.returncode == 0, said.decode()
        finally:
            await daemon.drain(0.5)

    asyncio.run(scenario())
    assert accepted == [source]
