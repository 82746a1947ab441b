"""Messages are read as they were composed: by this library for every value, and by the standard library but for the
faults of it that are listed here."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import posthouse
from posthouse import Address, Attachment, Message
from posthouse.message import Mailbox, needs
from posthouse.message.mailboxes import with_a_labels

# Of header fields: no control characters, no line or paragraph separators.
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=90)
NAME = st.one_of(
    LINE, st.sampled_from(["", "Smith, John", 'a "b" \\c', "=?utf-8?q?x?=", "郎锐 (Lang)", "a@b <c@d>", "é" * 40])
)
# Of bodies: line ends are "\n", and a mark of byte order at the start is none.
BODY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=400).map(
    lambda text: text.removeprefix("\ufeff")
)
LOCAL = st.one_of(
    st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\.[a-z0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["a b", "a,b@c", 'q"\\', "a..b", "jörg", "郎锐", "x" * 64]),
)
DOMAIN = st.sampled_from(["x.example", "bücher.example", "例え.テスト", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a.b-c.d"])
MAILBOX = st.builds(Mailbox, NAME.map(lambda name: " ".join(name.split())), st.builds(Address, LOCAL, DOMAIN))
MAILBOXES = st.lists(MAILBOX, max_size=4)
ID = st.from_regex(r"[A-Za-z0-9.=?_$-]{1,70}@[a-z0-9.-]{1,30}", fullmatch=True)
FILE = st.builds(
    Attachment,
    st.one_of(st.binary(max_size=300), BODY),
    LINE.map(lambda name: name.strip() or "a"),
    st.sampled_from(["", "application/pdf", "text/plain", "text/csv; header=present", "image/png"]),
)
MESSAGE = st.fixed_dictionaries(
    {
        "sender": MAILBOX,
        "to": MAILBOXES,
        "cc": MAILBOXES,
        "reply_to": MAILBOXES,
        "subject": LINE,
        "text": st.one_of(st.none(), BODY),
        "html": st.one_of(st.none(), BODY.map(lambda text: text.replace("cid:", ""))),
        "attachments": st.lists(FILE, max_size=3),
        "headers": st.lists(st.tuples(st.sampled_from(["X-Note", "Comments", "X-" + "n" * 50]), LINE), max_size=3),
        "in_reply_to": st.lists(ID, max_size=2, unique=True),
        "references": st.lists(ID, max_size=20, unique=True),
        "message_id": st.one_of(st.just(""), st.from_regex(r"[a-z0-9.=?_$-]{1,60}@[a-z0-9-]{1,30}", fullmatch=True)),
        "legacy_names": st.booleans(),
    }
)


def ended(text: str) -> str:
    """A text of a message as it is read: its last line is ended, if there is one."""
    return text if text.endswith("\n") or not text else f"{text}\n"


def on_the_wire(found: tuple[Mailbox, ...], utf8: bool) -> list[tuple[str, Address]]:
    """Mailboxes as they are read: domains in A-labels, unless the header section is in UTF-8."""
    return [(each.name, each.address if utf8 else with_a_labels(each.address)) for each in found]


def variants(message: Message) -> list[Message]:
    """The message and others of the same values: drawing values takes longer than composing messages of them."""
    other = message.replace(text=message.html, html=message.text, to=message.cc, cc=message.to, message_id="")
    made = []
    for each in (message, other):
        names = [(mailbox.name, mailbox.address) for mailbox in (*each.reply_to, *each.to, each.sender)]
        made += [
            each,
            each.replace(html=None),
            each.replace(text=None, attachments=()),
            each.replace(
                html=None, text=None, attachments=[file.replace(name=f"{file.name}.é") for file in each.attachments]
            ),
            each.replace(sender=names[0], to=names[1:], references=(), subject=each.sender.name),
        ]
    return made


@given(MESSAGE)
@settings(deadline=None, max_examples=200)
def test_this_library_reads_what_it_composed(values: dict[str, Any]) -> None:
    for message in variants(Message(**values)):
        check(message)


def check(message: Message) -> None:
    octets = message.as_bytes()
    utf8 = not octets.partition(b"\r\n\r\n")[0].isascii()
    assert not needs((octets,)).binary
    assert octets.isascii() or any(
        not each.address.local.isascii() for each in (message.sender, *message.to, *message.cc, *message.reply_to)
    )
    assert message.size == len(octets)
    read = posthouse.read(octets)
    for name in ("to", "cc", "reply_to"):
        found = [(each.name, each.address) for each in getattr(read, name)]
        assert found == on_the_wire(getattr(message, name), utf8)
    assert read.sender is not None
    assert [(read.sender.name, read.sender.address)] == on_the_wire((message.sender,), utf8)
    assert read.subject == message.subject
    assert (read.date, read.message_id) == (message.date, message.message_id)
    assert (read.in_reply_to, read.references) == (message.in_reply_to, message.references)
    written = [(each.name, each.value) for each in read.headers if each.name.startswith(("X-", "Comments"))]
    assert written == [*message.headers]
    texts = {part.type: part.text for part in read.text_parts}
    if message.text:
        assert texts["text/plain"] == ended(message.text)
    if message.html is not None:
        assert read.html == ended(message.html)
    assert [(each.filename_raw, each.content) for each in read.attachments] == [
        (each.name, each.content) for each in message.attachments
    ]
    # A name that looks like an address is allowed, and worth a word to who reads it.
    assert {defect.code for defect in read.defects} <= {"address-as-name"}


# The standard library ------------------------------------------------------------------------------------------------


def by_the_library(octets: bytes, utf8: bool) -> EmailMessage:
    return BytesParser(EmailMessage, policy=SMTP.clone(utf8=utf8)).parsebytes(octets)


def library_reads_name(name: str, field: str) -> bool:
    """Whether the standard library reads this display name; its faults:

    * white space between two encoded words of a phrase becomes text (RFC 2047 §6.2; cpython#87659, #92081);
    * encoded words in a quoted string are decoded, which RFC 2047 §5 forbids;
    * white space of Unicode is taken for that of the syntax.
    """
    return field.count("=?") < 2 and "=?" not in name and not re.search(r"[^\S ]", name)


def raw_utf8(text: str) -> str:
    """A text of an address field: the library leaves the octets of UTF-8 (RFC 6532) in surrogates there."""
    return text.encode("utf-8", "surrogateescape").decode()


@given(MESSAGE)
@example({"sender": "a@x.example", "to": [Mailbox("é" * 40, Address("b", "x.example"))]})
@settings(deadline=None, max_examples=60)
def test_the_standard_library_agrees(values: dict[str, Any]) -> None:
    message = Message(**values)
    octets = message.as_bytes()
    utf8 = not octets.partition(b"\r\n\r\n")[0].isascii()
    read = by_the_library(octets, utf8)
    assert (read["Subject"] or "") == message.subject
    assert read["Message-ID"] == f"<{message.message_id}>"
    assert read["Date"].datetime == message.date
    for name, mailboxes in (
        ("From", (message.sender,)),
        ("To", message.to),
        ("Cc", message.cc),
        ("Reply-To", message.reply_to),
    ):
        if not mailboxes:
            continue
        found = read[name].addresses
        field = str(dict(read.raw_items())[name])
        wanted = on_the_wire(mailboxes, utf8)
        assert [(raw_utf8(each.username), raw_utf8(each.domain)) for each in found] == [
            (address.local, address.domain) for _, address in wanted
        ]
        for each, (display, _) in zip(found, wanted, strict=True):
            if library_reads_name(display, field):
                assert raw_utf8(each.display_name) == display
    leaves = [part for part in read.walk() if not part.is_multipart()]
    files = [part for part in leaves if part.get_content_disposition() == "attachment"]
    texts = [part for part in leaves if part.get_content_disposition() is None]
    assert [part.get_filename() for part in files] == [each.name for each in message.attachments]
    assert [part.get_payload(decode=True) for part in files] == [each.content for each in message.attachments]
    if message.text is not None and texts[0].get_content_type() == "text/plain":
        decoded = texts[0].get_payload(decode=True)
        assert isinstance(decoded, bytes)
        assert decoded.decode().replace("\r\n", "\n") == ended(message.text)
    assert [defect for part in read.walk() for defect in part.defects] == []


# Whatever is given --------------------------------------------------------------------------------------------------

SIGNS = 'a@.<>,:;"\\ ()é漢\r\n\t\0\x7f\x85\u2028\ud800=?%/-_X'
TAME = 'a@.<>,"\\ ()é=?%X'
NASTY = st.one_of(*(st.text(st.sampled_from(signs), max_size=12) for signs in (SIGNS, TAME, "ab é")))
WHERE = st.one_of(NASTY, st.just("a@b.example"), st.builds(Address, NASTY, st.one_of(NASTY, st.just("ü.example"))))
SENDER = st.one_of(*[st.just("a@b.example")] * 4, WHERE)
OTHERS: dict[str, Any] = {
    "to": st.one_of(NASTY, st.just("c@d.example"), st.lists(WHERE, max_size=2)),
    "bcc": st.lists(WHERE, max_size=2),
    "reply_to": st.lists(WHERE, max_size=2),
    "subject": NASTY,
    "text": NASTY,
    "html": NASTY,
    "headers": st.dictionaries(st.one_of(NASTY, st.sampled_from(["X-A", "List-Id", "Keywords", "Sender"])), NASTY),
    "in_reply_to": NASTY,
    "references": st.lists(NASTY, max_size=2),
    "message_id": NASTY,
    "unsubscribe": st.builds("https://{}".format, NASTY),
    "mailing_list": st.builds(posthouse.ListFields, st.one_of(NASTY, st.just("a.b")), NASTY),
    "attachments": st.dictionaries(NASTY, NASTY, max_size=2),
    "flowed": st.booleans(),
}
ANYTHING = st.lists(st.sampled_from(sorted(OTHERS)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({"sender": SENDER, **{name: OTHERS[name] for name in names}})
)
FIELDS = (
    "date from to reply-to subject message-id in-reply-to references list-id list-unsubscribe list-unsubscribe-post "
    "mime-version content-type content-transfer-encoding"
)
WRITTEN = frozenset(FIELDS.split())


@given(ANYTHING)
@settings(deadline=None, max_examples=400)
def test_what_is_wrong_is_refused_when_the_message_is_made(values: dict[str, Any]) -> None:
    try:
        message = Message(**values)
    except posthouse.LocalError:
        return
    octets = message.as_bytes()
    assert not needs((octets,)).binary
    assert message.size == len(octets)
    if message.recipients:
        assert message.envelope.recipients == message.recipients
    names = [
        line.partition(b":")[0].lower().decode()
        for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if line[:1] != b" "
    ]
    assert set(names) <= WRITTEN | {name.lower() for name, _ in message.headers}
    assert len(names) == len(set(names))
