"""docs/reply-codes.md: the catalogue of ``codes``, in both of its languages."""

from __future__ import annotations

from collections.abc import Iterator

from docs_pages.markdown import GENERATED, table
from posthouse.codes.basic import BASIC_CODES
from posthouse.codes.enhanced import ENHANCED_CODES
from posthouse.codes.model import BasicCode, Registration, Text
from posthouse.codes.policy import POLICY_CODES

__all__ = ["page"]

OPENING = """\
# Reply codes

Every reply of SMTP begins with three digits. The first says how it went: 2 done, 3 go on, 4 not now, 5 not ever in this
form. Behind them most replies carry an *enhanced* code of three numbers, which says why (RFC 3463): its first number
is the class again, the second the subject, the third the detail. The command line tells the same about any of them, in
English or Chinese:

```console
$ posthouse explain 550
$ posthouse explain 5.1.1 --lang zh
```"""


def page(_existing: str) -> str:
    """The page."""
    parts = [GENERATED, OPENING, "## At a glance", _glance(), *_basic(), "## Enhanced codes", _about_classes()]
    for number, subject in _SUBJECTS.items():
        found = [each for each in (*ENHANCED_CODES, *POLICY_CODES) if each.number.startswith(f"{number}.")]
        found.sort(key=lambda each: [int(part) for part in each.number.split(".")])
        parts += [f"### X.{number}.* {_both(subject)}", _enhanced(found)]
    return "\n\n".join(parts) + "\n"


#: The second number (RFC 3463 §3).
_SUBJECTS = {
    0: Text("anything else", "其他"),
    1: Text("addresses", "地址"),
    2: Text("mailboxes", "邮箱"),
    3: Text("mail systems", "邮件系统"),
    4: Text("network and routing", "网络与路由"),
    5: Text("the dialogue", "协议对话"),
    6: Text("content", "内容"),
    7: Text("security and policy", "安全与策略"),
}


def _both(text: Text) -> str:
    return f"{text.en} · {text.zh}"


def _glance() -> str:
    rows = [(f"[{each.code}](#{each.code})", each.title.en, each.title.zh) for each in BASIC_CODES]
    return table(("code", "meaning", "含义"), rows)


def _basic() -> Iterator[str]:
    for each in BASIC_CODES:
        yield f"## {each.code}"
        yield f"**{each.title.en}** · **{each.title.zh}** ({each.source})"
        rows = [
            ("it means", each.meaning.en, each.meaning.zh),
            ("whose turn it is", each.whose.label.en, each.whose.label.zh),
            ("what to do", each.next_step.en, each.next_step.zh),
            ("Posthouse gives it", *_occasion(each)),
        ]
        if each.note is not None:
            rows.append(("note", each.note.en, each.note.zh))
        yield table(("", "English", "中文"), rows)


def _occasion(each: BasicCode) -> tuple[str, str]:
    occasion = each.occasion or Text("Never; only others give it.", "从不；只有其他系统会给出。")
    return occasion.en, occasion.zh


def _about_classes() -> str:
    return (
        "X is the class: 2 for success, 4 for a failure that may pass, 5 for one that stays. The classes in which a "
        "code makes sense, and the reply codes that the registry puts in front of it, are in the last columns."
    )


def _enhanced(found: list[Registration]) -> str:
    rows = [
        (
            f"X.{each.number}",
            f"**{each.title.en}.** {each.meaning.en}",
            f"**{each.title.zh}。** {each.meaning.zh}",
            ", ".join(str(number) for number in each.classes),
            ", ".join(str(code) for code in each.basic) or "–",
            each.source,
        )
        for each in found
    ]
    return table(("code", "English", "中文", "X", "with", "source"), rows)
