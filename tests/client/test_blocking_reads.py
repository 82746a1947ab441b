"""Reads of a blocking session: how much memory each asks for."""

from __future__ import annotations

import socket
from typing import Any

from posthouse.client.blocking_channel import BlockingChannel
from posthouse.net import BlockingClock, Endpoint

#: glibc maps memory for an allocation from here on, and gives it back with it (M_MMAP_THRESHOLD).
MAPPED = 131_072


class Recording(socket.socket):
    """A socket that notes how many octets each read asks for."""

    asked: list[int]

    def recv(self, size: int, *flags: Any) -> bytes:
        self.asked.append(size)
        return super().recv(size, *flags)


def test_a_read_allocates_less_than_memory_is_mapped_for() -> None:
    """``recv`` allocates what it may return, not what it returns: with 256 KiB each reply took three system calls more
    and a page fault."""
    ours, theirs = socket.socketpair()
    with theirs, Recording(fileno=ours.detach()) as recording:
        recording.asked = []
        channel = BlockingChannel(recording, Endpoint("192.0.2.1", 25), clock=BlockingClock())
        theirs.sendall(b"220 mx\r\n")
        assert channel.reply(30.0, "the greeting").code == 220
        channel.look()
    assert recording.asked
    assert max(recording.asked) < MAPPED
