"""Messages that have broken mail systems, by name; each must arrive unchanged.

All have CRLF line ends.  Those in ``BINARY`` can only travel by BDAT: DATA has no way to say them (RFC 3030 §1, §3).
"""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

__all__ = ["BINARY", "EIGHT_BIT", "HEAD", "HEADLESS", "LARGE", "MESSAGES", "PLAIN", "kept", "large"]

HEAD = (
    b"From: <langrui@sohu.com>\r\nTo: <renping@sina.com>\r\n"
    b"Subject: message\r\nDate: Mon, 23 Nov 2026 08:46:22 +0800\r\n"
)


def _encoded() -> bytes:
    """Chinese header fields and text as mail programs write them: encoded words, base64."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = "郎锐 <langrui@sohu.com>"
    message["To"] = "任平 <renping@sina.com>"
    message["Subject"] = "你好，这是一封很长的信的主题，长到必须折成好几行才能放得下，因为每行最多七十八个字符"
    message.set_content("见字如面。\n", charset="utf-8", cte="base64")
    return message.as_bytes()


_TEXT_8BIT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
#: All octets except NUL, CR and LF.
_OCTETS = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")

#: Messages without octets over 127.
PLAIN = {
    "plain": HEAD + b"\r\nHello.\r\n",
    "dots": HEAD + b"\r\n.\r\n..\r\n...\r\n.hidden\r\n. \r\n\r\n.\r\nthe last line is a dot\r\n.\r\n",
    "dots-only": HEAD + b"\r\n" + b".\r\n" * 3000,
    "dot-at-every-place": HEAD + b"\r\n" + b"".join(b"x" * length + b"\r\n." for length in range(700)) + b"\r\n",
    "long-lines": HEAD + b"\r\n" + b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n" + b"." * 998 + b"\r\n",
    "long-field": HEAD + b"X-Long: " + b"z" * 990 + b"\r\n\r\nbody\r\n",
    "folded-field": HEAD + b"X-Folded: a\r\n\tb\r\n  c\r\n \r\n\r\nbody\r\n",
    "empty-body": HEAD + b"\r\n",
    "empty-lines": HEAD + b"\r\n\r\n\r\n\r\n",
    "white-space": HEAD + b"\r\n \r\n\t\r\ntrailing \t \r\n",
    "words-of-the-dialogue": HEAD + b"\r\nQUIT\r\nRSET\r\n.QUIT\r\nBDAT 5 LAST\r\n250 OK\r\n",
    "encoded-chinese": _encoded(),
}

#: Octets over 127 in the body, and then in the header section as well.
EIGHT_BIT = {
    "latin-1": HEAD + _TEXT_8BIT % b"iso-8859-1" + b"\xe4\xf6\xfc\xdf\r\n.\xe4\r\n",
    "utf-8": HEAD + _TEXT_8BIT % b"utf-8" + "床前明月光，疑是地上霜。\r\n.举头望明月，低头思故乡。\r\n".encode(),
    "all-octets": HEAD + _TEXT_8BIT % b"unknown-8bit" + _OCTETS + b"\r\n." + _OCTETS + b"\r\n",
}

#: Messages that DATA can carry.
MESSAGES = {
    **PLAIN,
    **EIGHT_BIT,
    # Only the last piece of RFC 5321 §2.3.1's content; some relays add the empty line.
    "header-only": HEAD,
    "nothing": b"",
    "headless": b".\r\n..begins with a dot\r\n\r\nand has no header section\r\n",
    "chinese-fields": HEAD + "X-Poem: 春眠不觉晓\r\nComments: 处处闻啼鸟\r\n\r\n夜来风雨声\r\n".encode(),
}

#: Messages that only BDAT can carry: any octets, and no line end at the end.
BINARY = {
    "no-line-end": HEAD + b"\r\nno line end",
    "bare-cr-lf-nul": HEAD + b"\r\na\rb\nc\x00d\r\r\n\n.\n\r\n.\r\n\r",
    "one-octet": b"x",
    "ends-with-cr": HEAD + b"\r\nx\r",
    "octets": HEAD + b"\r\n" + bytes(range(256)) * 300,
}

#: Messages without a header section.  The first hop puts an empty line between its trace field and the message, because
#: the first line would otherwise seem to belong to that field.
HEADLESS = frozenset({"headless", "one-octet"})


def kept(name: str) -> bytes:
    """The octets behind the trace fields of a message that has arrived."""
    message = {**MESSAGES, **BINARY}[name]
    return b"\r\n" + message if name in HEADLESS else message


LARGE = 30 * 1024 * 1024


def large(size: int = LARGE) -> bytes:
    """A message of ``size`` octets without equal pages, with dots and octets over 127 at the start of lines."""
    head = HEAD + _TEXT_8BIT % b"iso-8859-1"
    lines = b"".join(b"%s%07d %s\r\n" % ((b".", b"..", b"\xe4", b"x")[n % 4], n, b"y" * (n % 61)) for n in range(4000))
    stamps = -(-size // len(lines))
    body = b"".join(b"part %d\r\n%s" % (stamp, lines) for stamp in range(stamps))
    cut = body[: size - len(head) - 2]
    if cut.endswith(b"\r"):
        cut = cut[:-1] + b"z"
    return head + cut + b"\r\n"
