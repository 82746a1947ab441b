"""Receiver that accepts messages for one domain and stores each as a file.

    python examples/receiver.py --bind 127.0.0.1:2525 --domain sina.com --into messages

A policy decides which senders and recipients are accepted; an intake takes one message's content.  The server has the
dialogue, its limits and its time-outs.  The final reply is a promise: 250 is sent after the file and its directory
entry are on the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

from posthouse.core import Envelope, Recipient, Remark, Reply, Verdict
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Greet, Mail, Rcpt
from posthouse.server import Peer, Server

HOSTNAME = "mail.example.org"


class FileIntake:
    """Intake that writes one message into a file."""

    def __init__(self, directory: Path, envelope: Envelope) -> None:
        self.envelope = envelope
        self.name = directory / f"{secrets.token_hex(8)}.eml"
        self.file = self.name.with_suffix(".part").open("xb")

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        pass  # what a lenient server has tolerated; this one is strict

    async def commit(self) -> tuple[Verdict, ...]:
        try:
            await asyncio.to_thread(self._keep)  # in a thread: other sessions continue while the disk works
        except OSError as error:
            self.abort()
            return (Verdict(Reply(451, "4.3.0", "Cannot store this message now; try again later"), str(error)),)
        print(f"{self.name.name}: {self.envelope.sender} -> {self.envelope.recipients[0].address}", flush=True)
        return (Verdict(Reply(250, "2.0.0", f"Kept as {self.name.stem}"), "stored"),)

    def _keep(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        Path(self.file.name).rename(self.name)
        directory = os.open(self.name.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the directory entry must survive a crash too
        finally:
            os.close(directory)

    def abort(self) -> None:
        self.file.close()
        Path(self.file.name).unlink(missing_ok=True)


class DomainPolicy:
    """Policy of one session; one object for each connection."""

    def __init__(self, peer: Peer, domain: str, directory: Path) -> None:
        self.peer = peer
        self.domain = domain
        self.directory = directory

    def connected(self) -> Verdict:
        return Verdict(Reply(220, "", f"{HOSTNAME} ready"))

    def greeted(self, greet: Greet) -> Verdict:
        return Verdict(Reply(250, "", HOSTNAME))  # the server adds its extensions

    def mail(self, mail: Mail) -> Verdict:
        return Verdict(Reply(250, "2.1.0", "Sender OK"))

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Verdict:
        # RCPT TO:<Postmaster> has no domain, and every receiver of mail must accept it (RFC 5321 §4.5.1).
        if rcpt.address.domain not in (self.domain, ""):
            return Verdict(Reply(550, "5.7.1", "No mail is relayed here"), "not our domain")
        return Verdict(Reply(250, "2.1.5", "Recipient OK"), "our domain")

    def verify(self, text: str) -> Verdict:
        return Verdict(Reply(252, "2.5.0", "Send a message to find out"))

    def expand(self, text: str) -> Verdict:
        return Verdict(Reply(502, "5.5.1", "There are no lists here"))

    def help(self, topic: str) -> Verdict:
        return Verdict(Reply(214, "2.0.0", f"Mail for {self.domain} is accepted here"))

    def intake(self, envelope: Envelope) -> FileIntake | Verdict:
        try:
            return FileIntake(self.directory, envelope)
        except OSError as error:
            return Verdict(Reply(451, "4.3.0", "Cannot store a message now; try again later"), str(error))

    def refused(self, what: str, reply: Reply) -> None:
        print(f"{self.peer.host}: {what} was answered {reply}", flush=True)

    def disconnected(self) -> None:
        pass


async def main() -> None:
    parser = argparse.ArgumentParser(description="Accept messages for one domain and store each as a file.")
    parser.add_argument("--bind", default="127.0.0.1:2525", metavar="HOST:PORT")
    parser.add_argument("--domain", default="sina.com")
    parser.add_argument("--into", default="messages", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    options.into.mkdir(exist_ok=True)
    host, _, port = options.bind.rpartition(":")

    server = Server(
        lambda peer: DomainPolicy(peer, options.domain, options.into),
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=HOSTNAME,
    )
    where = await server.listen(Endpoint(host, int(port)))
    print(f"listening on {where}", flush=True)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.drain(10)  # a session may finish its current message


if __name__ == "__main__":
    asyncio.run(main())
