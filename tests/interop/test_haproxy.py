"""HAProxy in front of a daemon: the PROXY protocol in both versions, TLS passed on and ended there, health checks."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.net.certificates import make_self_signed

from .peers import Host, free_port, opened, run

#: The client's end; the proxy's is 127.0.0.1.
CLIENT = "127.0.0.2"
CONFIG = """
hostname = "mx.test"
[[listener]]
name = "starttls"
bind = "127.0.0.1:0"
tls = "starttls"
proxy_networks = ["127.0.0.1"]
[[listener]]
name = "implicit"
bind = "127.0.0.1:0"
tls = "implicit"
proxy_networks = ["127.0.0.1"]
[[listener]]
name = "few"
bind = "127.0.0.1:0"
proxy_networks = ["127.0.0.1"]
max_connections_per_host = 1
[[domain]]
name = "home.test"
mailboxes = "any"
"""
_PROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 30s
    timeout client 60s
    timeout server 60s
"""
_FRONT = """
listen {name}
    bind 127.0.0.1:{port} {bind}
    server daemon 127.0.0.1:{to} {server}
"""
#: What clients connect to: the daemon's listener behind it, and the settings of HAProxy.
FRONTS = {
    "version 1": ("starttls", "", "send-proxy"),
    "version 2": ("starttls", "", "send-proxy-v2"),
    "with fields": ("starttls", "", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"),
    "with health checks": ("starttls", "", "send-proxy-v2 check check-send-proxy inter 20ms"),
    "passed-on TLS": ("implicit", "", "send-proxy-v2"),
    "TLS that ends here": ("starttls", "ssl crt {pem}", "send-proxy-v2-ssl-cn"),
    "few": ("few", "", "send-proxy-v2"),
}


@contextlib.contextmanager
def haproxy(host: Host, folder: Path) -> Iterator[dict[str, int]]:
    """A proxy with a port for each front; it is ready."""
    pair, _ = make_self_signed(["localhost"], folder, 1.8e9)
    ports = {name: free_port() for name in FRONTS}
    text = _PROXY + "".join(
        _FRONT.format(
            name=name.replace(" ", "-"),
            port=ports[name],
            bind=bind.format(pem=pair.certificate),
            to=host.daemon.endpoints[listener].port,
            server=server,
        )
        for name, (listener, bind, server) in FRONTS.items()
    )
    file = folder / "haproxy.cfg"
    file.write_text(text)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=log)
    try:
        yield ports
    finally:
        process.terminate()
        process.wait(30)


async def answers(port: int) -> None:
    """Return when something listens there."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.abort()
            return
        await asyncio.sleep(0.02)


def connected(front: str, port: int) -> smtplib.SMTP:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if "TLS" in front:
        return smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=context, source_address=(CLIENT, 0))
    client = smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=(CLIENT, 0))
    if FRONTS[front][0] == "starttls":
        client.starttls(context=context)
    return client


@pytest.mark.system("haproxy", "haproxy")
def test_haproxy_speaks_for_its_clients(tmp_path: Path) -> None:
    sources = {}

    def send(front: str, port: int) -> None:
        with connected(front, port) as client:
            assert client.sock is not None
            sources[front] = f"{FRONTS[front][0]} {CLIENT}:{client.sock.getsockname()[1]}"
            client.sendmail("a@x.test", ["b@home.test"], "Subject: by a proxy\r\n\r\nhi\r\n")

    def twice(port: int) -> None:
        with connected("few", port), pytest.raises(smtplib.SMTPConnectError) as caught:
            connected("few", port)
        assert caught.value.smtp_code == 421

    async def scenario() -> None:
        async with opened(CONFIG, tmp_path / "data") as host:
            with haproxy(host, tmp_path) as ports:
                for front, port in ports.items():
                    await answers(port)
                    await asyncio.to_thread(send, front, port)
                seen = {each["source"] for each in host.logged("accepted")}
                assert seen == set(sources.values())
                while host.daemon.sessions:  # the last one of this client counts until it has ended
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(twice, ports["few"])
            refused = [each for each in host.logged("refused") if each["reason"] != "max_connections_per_host"]
            assert not refused, "a health check, or a client that goes, is no fault"

    run(scenario, 120)
