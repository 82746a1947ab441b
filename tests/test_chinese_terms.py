"""Chinese terms: one word for one thing in the command line, the console, explanations and the manual."""

from __future__ import annotations

import re

from docs_pages.imports import SOURCE

#: Word → the term that replaces it.
RETIRED: dict[str, str] = {
    "中继": "中转",
    "写信人": "发件人",
    "信箱": "邮箱",
    "信件": "邮件",
    "发件者": "发件人",
    "发信人": "发件人",
    "发送者": "发件人；指程序时：发送SMTP",
    "口令": "密码",
    "响应": "应答",
    "寄件人": "发件人",
    "寄信人": "发件人",
    "帐": "账户",
    "延后": "暂缓",
    "挂起": "暂停连接、扣留",
    "接收端": "接收SMTP",
    "收件者": "收件人",
    "收信人": "收件人",
    "派送": "投递",
    "登陆": "登录",
    "缺省": "默认",
    "返回码": "应答码",
}
_ROOT = SOURCE.parents[1]
#: Files with Chinese that a reader sees: texts, pages, scripts of pages, and the pages written by hand; not the words
#: that are looked for in mail.
_FILES = sorted(
    path
    for path in (*SOURCE.rglob("*"), *_ROOT.glob("*.zh-CN.md"), *(_ROOT / "docs").rglob("*.zh-CN.md"))
    if path.suffix in (".py", ".html", ".js", ".md") and path.name != "code_words.py"
)


def retired_words(text: str) -> list[str]:
    """Each retired word with its line and the term to use."""
    found = re.compile("|".join(map(re.escape, RETIRED)))
    return [
        f"line {number}: {word} (say {RETIRED[word]})"
        for number, line in enumerate(text.splitlines(), 1)
        for word in found.findall(line)
    ]


def test_no_chinese_text_has_a_retired_word() -> None:
    assert any(path.suffix == ".md" for path in _FILES)
    assert len(_FILES) > 100
    found = {
        path.relative_to(_ROOT).as_posix(): words
        for path in _FILES
        if (words := retired_words(path.read_text(encoding="utf-8")))
    }
    assert not found, found


def test_a_retired_word_is_found_with_its_line_and_its_term() -> None:
    assert retired_words("第一行\n某个口令在此") == ["line 2: 口令 (say 密码)"]
