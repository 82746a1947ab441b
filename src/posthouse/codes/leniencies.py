"""What a lenient receiver tolerates, each in English and Chinese: what it is, and how the sender's program is mended.

``remark_text`` makes one sentence of a remark.  It says what a strict receiver would have answered, because that is
what mail of the same program meets elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from posthouse.codes.model import Text
from posthouse.core.remark import Remark

__all__ = ["LENIENCIES", "LeniencyEntry", "remark_in_brief", "remark_text"]


class LeniencyEntry(NamedTuple):
    """One kind of ``Remark``: ``what`` was found, what was ``made`` of it, and the ``remedy``."""

    what: Text
    made: Text
    remedy: Text


_LINE_ENDS = Text(
    "in Python send it with smtplib's send_message, or make the octets with msg.as_bytes(policy=email.policy.SMTP); "
    "with curl or a shell convert the file first, as unix2dos does",
    "在 Python 中用 smtplib 的 send_message 发送，或用 msg.as_bytes(policy=email.policy.SMTP) 生成字节；"
    "用 curl 或 shell 时，先用 unix2dos 之类的工具转换文件",
)

#: The kinds of remarks.
LENIENCIES: Mapping[str, LeniencyEntry] = MappingProxyType(
    {
        "bare-lf": LeniencyEntry(
            Text("LF without CR", "只有 LF 而没有 CR 的行尾"),
            Text("was read as CRLF", "已按 CRLF 处理"),
            _LINE_ENDS,
        ),
        "bare-cr": LeniencyEntry(
            Text("CR without LF", "只有 CR 而没有 LF"),
            Text("was read as CRLF", "已按 CRLF 处理"),
            Text(
                "take the CRs out of the text, for example those of a progress bar",
                "去掉文字中的 CR，例如进度条产生的 CR",
            ),
        ),
        "cr-cr-lf": LeniencyEntry(
            Text("CR CR LF", "CR CR LF"),
            Text("was read as one CRLF", "已按一个 CRLF 处理"),
            Text(
                "the program adds a CR to lines that end in CRLF already: give it lines that end in LF, or open the "
                "file in binary mode",
                "程序给已经以 CRLF 结尾的行又加了一个 CR：请给它以 LF 结尾的行，或以二进制方式打开文件",
            ),
        ),
        "8bit": LeniencyEntry(
            Text(
                "an octet above 127, and MAIL did not say BODY=8BITMIME",
                "出现大于 127 的字节，而 MAIL 未声明 BODY=8BITMIME",
            ),
            Text("was taken as if it had", "已按声明处理"),
            Text(
                "say BODY=8BITMIME where EHLO offers 8BITMIME, or encode the text as quoted-printable or base64",
                "在 EHLO 列出 8BITMIME 时声明 BODY=8BITMIME，或把正文编码为 quoted-printable 或 base64",
            ),
        ),
        "mbox-from": LeniencyEntry(
            Text('the "From " line of an mbox file in front of the header', "邮件头之前有 mbox 文件的 “From ” 行"),
            Text("became the field X-Mailbox-Line", "已改为 X-Mailbox-Line 字段"),
            Text(
                "leave out the first line of the file; elsewhere it turns the whole header into body text",
                "去掉文件的第一行；在其他接收SMTP 上，它会使整个邮件头变成正文",
            ),
        ),
        "no-brackets": LeniencyEntry(
            Text("an address that is not exactly in angle brackets", "地址没有正好写在尖括号中"),
            Text("was read all the same", "已照常读取"),
            Text("write <user@domain>", "写成 <user@domain>"),
        ),
        "misplaced-dot": LeniencyEntry(
            Text("a dot at the edge of the local part, or two in a row", "本地部分的首尾有点号，或有连续的点号"),
            Text("was kept, and goes out in quotes", "已保留，发出时加引号"),
            Text('write "a..b"@domain, in quotes', '加上引号，写成 "a..b"@domain'),
        ),
        "underscore": LeniencyEntry(
            Text("an underscore in the domain", "域名中有下划线"),
            Text("was kept", "已保留"),
            Text("use a domain of letters, digits and hyphens", "使用只含字母、数字和连字符的域名"),
        ),
        "trailing-dot": LeniencyEntry(
            Text("a dot at the end of the domain", "域名末尾有点号"),
            Text("was left out", "已去掉"),
            Text("leave the dot out", "去掉该点号"),
        ),
        "no-domain": LeniencyEntry(
            Text("an address without a domain", "地址没有域名"),
            Text("was given the server's own domain", "已补上本机的域"),
            Text(
                "write the whole address, or set the domain in the program (msmtp: from, cron: MAILTO and MAILFROM)",
                "写出完整地址，或在程序中设置域名（msmtp 的 from，cron 的 MAILTO 和 MAILFROM）",
            ),
        ),
        "utf8-address": LeniencyEntry(
            Text(
                "an address beyond ASCII, and MAIL did not say SMTPUTF8",
                "地址含有非 ASCII 字符，而 MAIL 未声明 SMTPUTF8",
            ),
            Text("was taken as if SMTPUTF8 had been said", "已按声明了 SMTPUTF8 处理"),
            Text(
                "add SMTPUTF8 to MAIL where EHLO offers it, and write the domain as A-labels (xn--) where it does not",
                "在 EHLO 列出 SMTPUTF8 时给 MAIL 加上该参数；未列出时把域名写成 A-label（xn--）",
            ),
        ),
    }
)


def remark_in_brief(remark: Remark) -> str:
    """What was found, where and how often, and the code of the strict reply: for a line of a log."""
    code = " ".join(remark.reply.split(" ")[:2])
    return f"{_found(remark)}: {code}" if code else _found(remark)


def _found(remark: Remark) -> str:
    entry = LENIENCIES.get(remark.kind)
    what = remark.kind if entry is None else entry.what.en
    where = f" in line {remark.line}" if remark.line else f" in {remark.command}" if remark.command else ""
    return what + where + (f" (and {remark.times - 1} more)" if remark.times > 1 else "")


def remark_text(remark: Remark, lang: str = "en") -> str:
    """One sentence on a remark: what was found and where, what a strict receiver would have answered, the remedy."""
    zh = lang.lower().startswith("zh")
    entry = LENIENCIES.get(remark.kind)
    what = remark.kind if entry is None else entry.what.said(lang)
    more = remark.times - 1
    if zh:
        where = f"第 {remark.line} 行" if remark.line else f"{remark.command} 中" if remark.command else ""
        also = f"（另有 {more} 处）" if more > 0 else ""
        text = f"{where}：{what}{also}" if where else f"{what}{also}"
        if entry is not None:
            text += f"；{entry.made.zh}。"
        if remark.reply:
            text += f"严格的接收SMTP 会应答 {remark.reply}。"
        return text + (f"改正方法：{entry.remedy.zh}。" if entry is not None else "")
    text = _found(remark)
    if entry is not None:
        text += f" {entry.made.en}"
    if remark.reply:
        text += f'; a strict receiver would have answered "{remark.reply}"'
    return text + (f"; {entry.remedy.en}" if entry is not None else "")
