"""Tour of the reply codes: the 21 codes of RFC 821 that texts on SMTP list, each brought about at a running daemon.

``CODE_WAYS`` has a row for each code: what must be set, and what a client says.  All rows share one configuration,
``TOUR_CONFIG``, which the manual prints as well, so that a reader can do the same by hand.  451 is the reply to trouble
of the receiver's own and cannot be set; a sink that fails on demand gives it.

The daemon listens on loopback with ports of its own, and its directory is removed at the end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, NamedTuple

from posthouse.codes.model import Text
from posthouse.core import LocalError, RemoteError
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol.readers import ReplyReader
from posthouse.protocol.writers import write_reply
from posthouse.sandbox import Sink, parse_fail
from posthouse.service.config_file import parse
from posthouse.service.daemon.daemon import Daemon

__all__ = ["CODE_WAYS", "CodeTour", "CodeWay", "TOUR_CONFIG", "TOUR_SINK"]

#: The configuration in which all codes but 451 can be brought about.
TOUR_CONFIG: Final = """\
hostname = "mx.sina.com"
data_dir = "/tmp/codes"
workers = 1

[[listener]]
bind = "127.0.0.1:2525"
vrfy = true
max_recipients = 1
max_message_size = 65536

[[listener]]
bind = "127.0.0.1:2526"
name = "busy"
max_connections = 1

[[domain]]
name = "sina.com"
mailboxes = ["renping", "zhaolei"]
paused = ["zhaolei"]
moved = { wanghong = "wanghong@sohu.com" }

[[domain]]
name = "sina.net"
mailboxes = ["renping"]
moved = { wanghong = "wanghong@sohu.com" }
moved_action = "tell"
"""

#: The sink that gives 451.
TOUR_SINK: Final = "posthouse sink --bind 127.0.0.1:2527 --fail mail:451"
_SECONDS: Final = 20.0  # for one code
_CONTENT: Final = "Subject: hello\r\n\r\nDear Renping, it works.\r\n."
_HELLO: Final = "HELO sohu.com"
_MAIL: Final = "MAIL FROM:<langrui@sohu.com>"
_RCPT: Final = "RCPT TO:<renping@sina.com>"


class CodeWay(NamedTuple):
    """How one code is brought about.

    Args:
        setting: The setting that it needs, as it is written in ``TOUR_CONFIG``; "" for none.
        lines: What the client says after the greeting; the last reply has the code.
        why: Why the receiving SMTP answers so.
        at: The port: "" for the first listener, "busy" for the second with another connection open, or "sink".
    """

    code: int
    setting: str
    lines: tuple[str, ...]
    why: Text
    at: str = ""


#: The way to each code, in numerical order.
CODE_WAYS: Final = (
    CodeWay(211, "", ("HELP",), Text("HELP alone lists the commands.", "HELP 不带参数，列出可用的命令。")),
    CodeWay(214, "", ("HELP MAIL",), Text("HELP with a command explains it.", "HELP 带上命令，说明这条命令。")),
    CodeWay(220, "", (), Text("The greeting comes before anything is said.", "连接建立后，对方先发出问候。")),
    CodeWay(221, "", ("QUIT",), Text("QUIT ends the session.", "QUIT 结束会话。")),
    CodeWay(
        250,
        "",
        ("HELLO sohu.com", _MAIL, _RCPT, "DATA", _CONTENT),
        Text("Each step is done; the last 250 takes responsibility.", "每一步都已完成；最后的 250 表示对方负起责任。"),
    ),
    CodeWay(
        251,
        'moved = { wanghong = "wanghong@sohu.com" }',
        (_HELLO, _MAIL, "RCPT TO:<wanghong@sina.com>"),
        Text("The mailbox has moved, and mail is forwarded.", "邮箱已迁走，邮件会代为转发。"),
    ),
    CodeWay(354, "", (_HELLO, _MAIL, _RCPT, "DATA"), Text("The content may come now.", "现在可以发送邮件内容。")),
    CodeWay(
        421,
        "max_connections = 1",
        (),
        Text("Another connection is open, and one is the most.", "已有一个连接，而上限就是一个。"),
        at="busy",
    ),
    CodeWay(
        450,
        'paused = ["zhaolei"]',
        (_HELLO, _MAIL, "RCPT TO:<zhaolei@sina.com>"),
        Text("The mailbox takes no mail for now.", "该邮箱暂时不收邮件。"),
    ),
    CodeWay(
        451,
        TOUR_SINK,
        (_HELLO, _MAIL),
        Text("The receiver has trouble of its own; here a sink pretends it.", "接收SMTP 自身出错；这里由 sink 模拟。"),
        at="sink",
    ),
    CodeWay(
        452,
        "max_recipients = 1",
        (_HELLO, _MAIL, _RCPT, "RCPT TO:<postmaster@sina.com>"),
        Text("One recipient more than a message may have.", "收件人数超过了每封邮件的上限。"),
    ),
    CodeWay(500, "", ("FLY",), Text("There is no such command.", "没有这条命令。")),
    CodeWay(
        501,
        "",
        (_HELLO, "MAIL FROM:<langrui@>"),
        Text("The address has no domain.", "地址缺少域名。"),
    ),
    CodeWay(502, "", ("TURN",), Text("The command is known and not offered.", "认识这条命令，但不提供。")),
    CodeWay(503, "", (_HELLO, _RCPT), Text("RCPT before MAIL is out of order.", "RCPT 之前必须先有 MAIL。")),
    CodeWay(504, "", ("HELP ME",), Text("HELP has no such topic.", "HELP 没有这个主题。")),
    CodeWay(
        550,
        "",
        (_HELLO, _MAIL, "RCPT TO:<nobody@sina.com>"),
        Text("The domain is local, and has no such mailbox.", "该域由本机负责，但没有这个邮箱。"),
    ),
    CodeWay(
        551,
        'moved_action = "tell"',
        (_HELLO, _MAIL, "RCPT TO:<wanghong@sina.net>"),
        Text("The mailbox has moved, and the sender is told where.", "邮箱已迁走，告知发件人新地址。"),
    ),
    CodeWay(
        552,
        "max_message_size = 65536",
        ("EHLO sohu.com", f"{_MAIL} SIZE=65537"),
        Text("The message is larger than is accepted.", "邮件超过了可接受的大小。"),
    ),
    CodeWay(
        553,
        "vrfy = true",
        ("VRFY renping",),
        Text("Two domains have this mailbox, so the name is ambiguous.", "两个域都有这个邮箱，名称有歧义。"),
    ),
    CodeWay(
        554,
        "",
        (_HELLO, _MAIL, "RCPT TO:<nobody@sina.com>", "DATA"),
        Text("No recipient was accepted, so there is nothing to send to.", "没有一位收件人被接受，无从投递。"),
    ),
)


class CodeTour:
    """The daemon and the sink of the tour.  ``async with CodeTour() as tour`` starts them."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        #: The directory of the daemon, while the tour lasts.
        self.root: str | None = None
        self._places: dict[str, Endpoint] = {}

    async def __aenter__(self) -> CodeTour:
        try:
            self.root = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-codes-"))
            text = TOUR_CONFIG.replace("/tmp/codes", os.path.join(self.root, "data"))
            for port in ("2525", "2526"):
                text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:0")
            daemon = Daemon(parse(text), log=_silent)
            self._stack.push_async_callback(daemon.drain, 2.0)
            await daemon.start()
            sink = Sink(
                network=SocketNetwork(), clock=SystemClock(), hostname="mx.sina.com", faults=[parse_fail("mail:451")]
            )
            self._stack.push_async_callback(sink.stop)
            place = await sink.listen(Endpoint("127.0.0.1", 0))
            self._places = {"": daemon.endpoints["mx"], "busy": daemon.endpoints["busy"], "sink": place}
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def remove(self) -> None:
        """Remove the directory at once, while the daemon may run: for an exit that waits for nothing."""
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)

    async def bring_about(self, way: CodeWay) -> list[tuple[str, str]]:
        """The dialogue that ends in the code: "S" (the sending SMTP) or "R", and the line.

        Raises ``LocalError`` if another code comes, and ``RemoteError`` if the connection ends before.
        """
        async with asyncio.timeout(_SECONDS), AsyncExitStack() as stack:
            if way.at == "busy":
                other = await _LineClient.to(self._places[way.at])
                stack.push_async_callback(other.close)
                await other.reply()
            client = await _LineClient.to(self._places[way.at])
            stack.push_async_callback(client.close)
            code = await client.reply()
            for line in way.lines:
                code = await client.say(line)
        if code != way.code:
            raise LocalError(f"{way.code} was expected, and {code} came")
        return client.lines


class _LineClient:
    """A client that says any line, and keeps the dialogue."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies = ReplyReader(2_048, 256)
        self.lines: list[tuple[str, str]] = []

    @classmethod
    async def to(cls, place: Endpoint) -> _LineClient:
        return cls(*await asyncio.open_connection(place.host, place.port))

    async def reply(self) -> int:
        """Read one reply; its code."""
        while (reply := self._replies.reply()) is None:
            data = await self._reader.read(65_536)
            if not data:
                raise RemoteError("the connection was closed before the reply came")
            self._replies.feed(data)
        self.lines += [("R", line) for line in write_reply(reply, True).decode().splitlines()]
        return reply.code

    async def say(self, line: str) -> int:
        """Say a line, or content with its end; the code of the reply."""
        content, dot, _ = line.rpartition(".") if line.endswith("\r\n.") else ("", "", "")
        if dot:
            self.lines += [("S", f"({len(content.encode())} octets of content)"), ("S", ".")]
        else:
            self.lines.append(("S", line))
        self._writer.write(f"{line}\r\n".encode())
        return await self.reply()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:  # it was closed by the other side
            return


def _silent(event: str, /, **fields: Any) -> None:
    """An event sink that does nothing."""
