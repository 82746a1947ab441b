"""Parsing and composing, without a network: ours, the standard library, and a parser in Rust if it is installed.

    python benchmarks/mime.py [--seconds 2] [--rounds 3] [--json]

The messages are made here, in the shapes that mail of today has: long header sections with Received, DKIM and ARC
fields, newsletters in HTML, Chinese and Japanese mail, reports, and messages with files.  Two readings are measured:

* **read**: everything that a program usually asks for: subject, From, To, date, Message-ID, text, HTML, and the names
  and contents of the files;
* **list**: what a list of messages shows: subject, From and date.

Composing makes the octets of a message from values: a text; text and HTML with a picture; a file of 1 MiB.

Each side is measured in turn for ``--seconds``, ``--rounds`` times; the median is shown.  Processor time is counted,
not time.  ``fast-mail-parser`` (the crate mailparse) is measured if it is installed; it reads whole messages only, and
its figure has no part in an aim.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))  # behind a compiled copy, if one is named

from posthouse import Attachment, Message, read

_SENTENCE: Final = "the figures of this quarter are attached and will be explained on Monday at noon please answer"
WORDS: Final = _SENTENCE.split()
CHINESE: Final = "第一封邮件从北京寄往上海请在星期一之前回复附件里有这个季度的数字和说明谢谢您的来信"
RANDOM: Final = random.Random(6_2)


def prose(count: int) -> str:
    """A text of so many words in lines of 12."""
    words = [RANDOM.choice(WORDS) for _ in range(count)]
    return "\n".join(" ".join(words[at : at + 12]) for at in range(0, count, 12)) + "\n"


def chinese(count: int) -> str:
    text = "".join(RANDOM.choice(CHINESE) for _ in range(count))
    return "\n".join(text[at : at + 40] for at in range(0, count, 40)) + "\n"


def page(paragraphs: int, text: Callable[[int], str] = prose) -> str:
    """HTML as newsletters have it: tables, styles, links."""
    style = "".join(f".c{n}{{color:#{n:06x};padding:{n}px 0;font-family:Arial,sans-serif}}\n" for n in range(40))
    rows = "".join(
        f'<tr><td class="c{n % 40}" style="padding:0 8px"><a href="https://news.example/c?id={n}&amp;u=1">'
        f"{text(20).strip()}</a><p>{text(60).strip()}</p></td></tr>\n"
        for n in range(paragraphs)
    )
    return f"<!DOCTYPE html><html><head><style>{style}</style></head><body><table>\n{rows}</table></body></html>\n"


def trace_fields() -> str:
    """Header fields as a message has them after four hosts."""
    signature = "".join(RANDOM.choice("ABCDEFGHabcdefgh0123456789+/") for _ in range(340))
    folded = "\r\n ".join(signature[at : at + 70] for at in range(0, 340, 70))
    hops = "".join(
        f"Received: from mx{n}.example.org (mx{n}.example.org [192.0.2.{n}])\r\n by in{n}.example.net (Postfix) with "
        f"ESMTPS id 4T{n}xyz\r\n for <renping@example.net>; Mon, 23 Nov 2026 16:00:0{n} +0800 (CST)\r\n"
        for n in range(4)
    )
    sealed = "".join(
        f"{name}: i=1; a=rsa-sha256; d=example.org; s=k1; t=1795420800;\r\n h=from:to:subject:date:message-id;"
        f" b={folded}\r\n"
        for name in ("DKIM-Signature", "ARC-Seal", "ARC-Message-Signature")
    )
    return (
        f"Return-Path: <bounce@example.org>\r\n{hops}{sealed}"
        "Authentication-Results: in.example.net; dkim=pass header.d=example.org;\r\n spf=pass\r\n"
        "X-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00,DKIM_SIGNED,\r\n\tHTML_MESSAGE autolearn=ham\r\n"
    )


def corpus() -> list[bytes]:
    """The messages, in the proportions of a mailbox: many texts and newsletters, few with large files."""
    made: list[bytes] = []
    for number in range(24):
        letter = EmailMessage(policy=SMTP)
        letter["From"] = "朗瑞 <langrui@example.org>" if number % 3 == 0 else "Ann Example <ann@example.org>"
        letter["To"] = ", ".join(f"Reader {n} <reader{n}@example.net>" for n in range(1 + number % 5))
        letter["Subject"] = chinese(20).strip() if number % 3 == 0 else f"Re: {prose(8).strip()}"
        letter["Date"] = datetime(2026, 11, 23, 16, 0, number, tzinfo=UTC)
        letter["Message-ID"] = f"<{number}.{RANDOM.getrandbits(64):x}@example.org>"
        letter["References"] = " ".join(f"<{n}.{RANDOM.getrandbits(64):x}@example.org>" for n in range(1 + number % 6))
        text = chinese if number % 3 == 0 else prose
        charset = ("gb18030", "utf-8", "us-ascii")[number % 3]
        letter.set_content(text(150 + 20 * number), charset=charset)
        if number % 2:
            html = page(6 + number, text)
            letter.add_alternative(html, subtype="html", charset="utf-8", cte="quoted-printable")
        if number % 6 == 5:
            letter.add_attachment(RANDOM.randbytes(20_000 * number), "application", "pdf", filename="季度.pdf")
        made.append(trace_fields().encode() + letter.as_bytes())
    return made


# What is measured ----------------------------------------------------------------------------------------------------


def ours_read(octets: bytes) -> object:
    message = read(octets)
    return (
        message.subject, message.sender, message.to, message.date, message.message_id, message.text, message.html,
        [(each.filename, each.content) for each in message.attachments],
    )  # fmt: skip


def theirs_read(octets: bytes) -> object:
    message: Any = message_from_bytes(octets, policy=default)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    return (
        message["Subject"], message["From"].addresses, message["To"].addresses, message["Date"].datetime,
        message["Message-ID"], plain and plain.get_content(), html and html.get_content(),
        [(each.get_filename(), each.get_content()) for each in message.iter_attachments()],
    )  # fmt: skip


def ours_list(octets: bytes) -> object:
    message = read(octets)
    return message.subject, message.sender, message.date


def theirs_list(octets: bytes) -> object:
    message: Any = message_from_bytes(octets, policy=default)
    return message["Subject"], message["From"].addresses, message["Date"].datetime


TEXT: Final = prose(200)
HTML: Final = page(8)
LARGE: Final = RANDOM.randbytes(1 << 20)
PICTURE: Final = RANDOM.randbytes(8_000)


def ours_text() -> bytes:
    return Message("朗瑞 <langrui@example.org>", "ren@example.net", subject="第一封邮件", text=TEXT).as_bytes()


def _theirs() -> EmailMessage:
    from email.utils import localtime, make_msgid

    made = EmailMessage(policy=SMTP)
    made["Date"] = localtime()
    made["From"], made["To"], made["Subject"] = "朗瑞 <langrui@example.org>", "ren@example.net", "第一封邮件"
    made["Message-ID"] = make_msgid(domain="example.org")
    made.set_content(TEXT)
    return made


def theirs_text() -> bytes:
    return _theirs().as_bytes()


def ours_html() -> bytes:
    return Message(
        "朗瑞 <langrui@example.org>", "ren@example.net", subject="第一封邮件", text=TEXT,
        html=HTML + '<img src="cid:logo">', inline={"logo": Attachment(PICTURE, "logo.png")},
    ).as_bytes()  # fmt: skip


def theirs_html() -> bytes:
    made = _theirs()
    made.add_alternative(HTML + '<img src="cid:logo">', subtype="html")
    related: Any = made.get_payload()
    related[1].add_related(PICTURE, "image", "png", cid="<logo>")
    return made.as_bytes()


def ours_file() -> bytes:
    return Message(
        "朗瑞 <langrui@example.org>", "ren@example.net", subject="第一封邮件", text=TEXT, attachments=[("a.bin", LARGE)]
    ).as_bytes()


def theirs_file() -> bytes:
    made = _theirs()
    made.add_attachment(LARGE, "application", "octet-stream", filename="a.bin")
    return made.as_bytes()


def rate(work: Callable[[], int], seconds: float) -> float:
    """How many messages a second of processor time."""
    work()
    began = time.process_time()
    count = 0
    while time.process_time() - began < seconds:
        count += work()
    return count / (time.process_time() - began)


def over(read_one: Callable[[bytes], object], messages: Sequence[bytes]) -> Callable[[], int]:
    def work() -> int:
        for octets in messages:
            read_one(octets)
        return len(messages)

    return work


def once(compose_one: Callable[[], bytes]) -> Callable[[], int]:
    return lambda: len([compose_one()])


def rust_reader() -> Callable[[bytes], object] | None:
    try:
        from fast_mail_parser import parse_email
    except ImportError:
        return None

    def rust_read(octets: bytes) -> object:
        found = parse_email(octets)
        return found.subject, found.date, found.text_plain, found.text_html, found.attachments

    return rust_read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    messages = corpus()
    rust = rust_reader()
    sides: dict[str, dict[str, Callable[[], int]]] = {
        "read": {"posthouse": over(ours_read, messages), "standard library": over(theirs_read, messages)},
        "list": {"posthouse": over(ours_list, messages), "standard library": over(theirs_list, messages)},
        "compose: text": {"posthouse": once(ours_text), "standard library": once(theirs_text)},
        "compose: HTML, picture": {"posthouse": once(ours_html), "standard library": once(theirs_html)},
        "compose: 1 MiB file": {"posthouse": once(ours_file), "standard library": once(theirs_file)},
    }
    if rust is not None:
        sides["read"]["fast-mail-parser (Rust)"] = over(rust, messages)
    figures = {
        work: {name: median(rate(call, given.seconds) for _ in range(given.rounds)) for name, call in calls.items()}
        for work, calls in sides.items()
    }
    if given.json:
        print(json.dumps(figures))
        return 0
    print(f"{len(messages)} messages, {sum(map(len, messages)) / len(messages) / 1024:.0f} KiB on average")
    for work, found in figures.items():
        ratio = found["posthouse"] / found["standard library"]
        print(f"{work:24} {ratio:5.1f} × the standard library: ", end="")
        print(", ".join(f"{name} {figure:,.0f}/s" for name, figure in found.items()))
    if rust is None:
        print("fast-mail-parser is not installed; pip install fast-mail-parser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
