"""Live events over a real WebSocket (RFC 6455): a message that arrives is told, by Mailpit's frames and MailHog's."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .conftest import PATIENCE, ServedCatcher, written


class Reader:
    """The client's end, which only reads text frames."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")
        self.status = self._file.readline().decode().split()[1]
        while self._file.readline().strip():
            pass

    def frame(self) -> Any:
        """The next text frame, read as JSON."""
        first, length = self._file.read(2)
        assert first == 0x81, "one whole text frame"
        if length == 126:
            length = int.from_bytes(self._file.read(2), "big")
        elif length == 127:
            length = int.from_bytes(self._file.read(8), "big")
        return json.loads(self._file.read(length))

    def close(self) -> None:
        self._file.close()


@contextmanager
def listening(catcher: ServedCatcher, path: str, **fields: str) -> Iterator[Reader]:
    key = base64.b64encode(os.urandom(16)).decode()
    head = {
        "Host": f"127.0.0.1:{catcher.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **fields,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    with socket.create_connection(("127.0.0.1", catcher.port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(lines).encode())
        reader = Reader(connection)
        yield reader
        reader.close()


def test_mailpit(catcher: ServedCatcher) -> None:
    with listening(catcher, "/api/events") as reader:
        assert reader.status == "101"
        assert reader.frame()["Data"]["Total"] == 0  # the counts, right after connecting
        sent = catcher.send(written("Arrived"), "ann@a.example")
        new, stats = reader.frame(), reader.frame()
        assert (new["Type"], new["Data"]["ID"], new["Data"]["Subject"]) == ("new", sent, "Arrived")
        assert (stats["Type"], stats["Data"]["Total"], stats["Data"]["Unread"]) == ("stats", 1, 1)
        second = catcher.send(written("Second"), "ann@a.example")
        assert reader.frame()["Data"]["ID"] == second
    assert catcher.run("inbox count").unread == 2  # listening reads nothing


def test_mailhog(catcher: ServedCatcher) -> None:
    with listening(catcher, "/api/v2/websocket") as reader:
        assert reader.status == "101"
        sent = catcher.send(written("Arrived"), "ann@a.example")
        item = reader.frame()
        assert item["ID"] == sent
        assert item["Content"]["Headers"]["Subject"] == ["Arrived"]
        assert item["Raw"]["To"] == ["ann@a.example"]


def test_a_page_of_another_site_cannot_listen(catcher: ServedCatcher) -> None:
    for fields in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        with listening(catcher, "/api/events", **fields) as reader:
            assert reader.status == "403", fields


def test_mailhogs_stream_of_version_1(catcher: ServedCatcher) -> None:
    with httpx.stream("GET", f"{catcher.url}/api/v1/events", timeout=PATIENCE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for number in range(3):
            catcher.send(written(f"event {number}"), "ann@a.example")
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        found = [json.loads(next(lines).removeprefix("data: ")) for _ in range(3)]
    assert [each["Content"]["Headers"]["Subject"] for each in found] == [["event 0"], ["event 1"], ["event 2"]]


def test_the_head_of_a_stream_keeps_no_place(catcher: ServedCatcher) -> None:
    for path in ("/api/v1/events", "/events"):
        for _ in range(51):
            found = httpx.head(f"{catcher.url}{path}", timeout=PATIENCE)
            assert (found.status_code, found.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    with httpx.stream("GET", f"{catcher.url}/api/v1/events", timeout=PATIENCE) as answer:
        assert answer.status_code == 200


def test_a_page_of_another_site_reads_no_stream(catcher: ServedCatcher) -> None:
    for fields in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert httpx.get(f"{catcher.url}/api/v1/events", headers=fields, timeout=PATIENCE).status_code == 403
