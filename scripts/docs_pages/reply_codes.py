"""docs/reply-codes.md: the catalogue of reply codes of ``posthouse.codes``, in English and Chinese."""

from __future__ import annotations

from collections.abc import Iterator

from docs_pages.markdown import GENERATED, table
from posthouse.codes.basic import BASIC_CODES
from posthouse.codes.enhanced import ENHANCED_CODES
from posthouse.codes.model import BasicCode, Registration, Text
from posthouse.codes.policy import POLICY_CODES
from posthouse.service.code_tour import CODE_WAYS, TOUR_CONFIG

__all__ = ["page"]

OPENING = """\
# Reply codes

Every SMTP reply begins with three digits. The first is the class: 2 success, 3 continue, 4 temporary failure, 5
permanent failure. After them, most replies have an *enhanced* code of three numbers, which gives the reason (RFC 3463):
the first number is the class again, the second the subject, the third the detail. The command line explains each code,
in English or Chinese:

```console
$ posthouse explain 550
$ posthouse explain 5.1.1 --lang zh
```"""


def page(_existing: str) -> str:
    """The page."""
    parts = [GENERATED, OPENING, "## At a glance", _glance(), *_ways(), *_basic()]
    parts += ["## Enhanced codes", _about_classes()]
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
    5: Text("the dialogue", "协议会话"),
    6: Text("content", "内容"),
    7: Text("security and policy", "安全与策略"),
}


def _both(text: Text) -> str:
    return f"{text.en} · {text.zh}"


def _glance() -> str:
    rows = [(f"[{each.code}](#{each.code})", each.title.en, each.title.zh) for each in BASIC_CODES]
    return table(("code", "meaning", "含义"), rows)


WAYS = """\
`posthouse demo --codes` brings about each of the codes that texts about SMTP list, shows the dialogue and explains it,
in English or Chinese (`--lang zh`). To do it by hand, save this as `codes.toml`, start
`posthouse run --config codes.toml`, and type the lines into `nc -C 127.0.0.1 2525` (macOS: `nc -c 127.0.0.1 2525`):"""


def _ways() -> Iterator[str]:
    yield "## Bring about each code"
    yield WAYS
    yield f"```toml\n{TOUR_CONFIG}```"
    rows = []
    for way in CODE_WAYS:
        lines = [f"`{line}`" for line in way.lines if not line.endswith("\r\n.")]
        if len(lines) < len(way.lines):
            lines.append("a message, `.`")
        where = {"": "", "busy": "connect twice to port 2526", "sink": "to port 2527"}[way.at]
        said = " · ".join([*filter(None, [where]), *lines]) or "connect"
        rows.append(
            (f"[{way.code}](#{way.code})", f"`{way.setting}`" if way.setting else "–", said, way.why.en, way.why.zh)
        )
    yield table(("code", "setting", "type", "why", "原因"), rows)


def _basic() -> Iterator[str]:
    for each in BASIC_CODES:
        yield f"## {each.code}"
        yield f"**{each.title.en}** · **{each.title.zh}** ({each.source})"
        rows = [
            ("meaning", each.meaning.en, each.meaning.zh),
            ("who has to act", each.whose.label.en, each.whose.label.zh),
            ("what to do", each.next_step.en, each.next_step.zh),
            ("when Posthouse sends it", *_occasion(each)),
        ]
        if each.note is not None:
            rows.append(("note", each.note.en, each.note.zh))
        yield table(("", "English", "中文"), rows)


def _occasion(each: BasicCode) -> tuple[str, str]:
    occasion = each.occasion or Text("Never; only other systems send it.", "从不；只有其他系统会给出。")
    return occasion.en, occasion.zh


def _about_classes() -> str:
    return (
        "X is the class: 2 success, 4 temporary failure, 5 permanent failure. The column X has the classes in which a "
        "code is used, and the column *with* the reply codes that the registry lists for it."
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
