"""Chinese texts of the lint of a message (``message.lint``).

A finding is translated by its rule: the first row whose pattern fits has the details, and the rule's last row, without
a pattern, says what is wrong in general, where the details are words of a reader.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "DEFECTS_ZH",
    "LINT_REMEDIES_ZH",
    "LINT_RULES_ZH",
    "chinese_defect",
    "chinese_lint_remedy",
    "chinese_lint_text",
]

#: Code of a defect of ``message.reading`` → what the reader made of it.
DEFECTS_ZH: Final = {
    "not-a-field": "邮件头中有一行不是字段，已略去。",
    "no-empty-line": "邮件头之后没有空行；邮件体从第一个不是字段的行开始。",
    "long-header": "邮件头太长，其余部分没有读取。",
    "bad-type": "有一个部分的类型无法识别，按 text/plain 读取。",
    "second-type": "有一个部分有两个 Content-Type 字段，以第一个为准。",
    "part-after-end": "多部分结束之后还有一个部分，已读取。",
    "bad-parameter": "有一个部分的参数没有值。",
    "too-deep": "多部分的嵌套太深，其余部分没有拆开。",
    "no-boundary": "有一个多部分没有写明分隔行，按文本读取。",
    "no-parts": "有一个多部分中没有分隔行，按文本读取。",
    "too-many-parts": "部分太多，其余部分合为一个。",
    "no-end": "有一个多部分没有结束，最后一个部分到此为止。",
    "bad-message-id": "标识不合 RFC 5322 §3.6.4 的写法。",
    "guessed-charset": "没有写明字符集，或写得不对，字符集是推测的。",
    "lost-characters": "有些字节不代表任何字符。",
    "tnef": "有一个部分是 Microsoft Outlook 的 TNEF 格式，没有拆开。",
    "uuencode": "文本中有以 uuencode 方式写入的文件。",
    "encoded-name": "文件名写成了编码字，RFC 2047 §5 不允许这样写。",
    "bad-base64": "有一个部分的 base64 有误。",
    "bad-quoted-printable": "有一个部分的 quoted-printable 有误。",
}

#: Rule → pairs of a pattern of the English text ("" fits all) and the Chinese text, ``{0}`` for the first group.
LINT_RULES_ZH: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "no-header": (("", "邮件没有邮件头。"),),
    "missing-from": (("", "没有 From 字段。"),),
    "missing-date": (("", "没有 Date 字段。"),),
    "missing-message-id": (("", "没有 Message-ID 字段；大的邮件服务商会把这样的邮件当作垃圾邮件。"),),
    "repeated-field": (
        (r"(\S+) occurs (\d+) times; .*", "{0} 出现 {1} 次；各程序读的不是同一个，Gmail 则拒收。"),
        ("", "有字段重复出现。"),
    ),
    "bad-from": (("", "From 中没有邮箱。"),),
    "group-in-from": (("", "From 中有组；许多接收SMTP会拒收。"),),
    "missing-sender": (
        (r"From names (\d+) authors, .*", "From 有 {0} 位作者，而没有 Sender 字段说明是谁发出的。"),
        ("", "From 有多位作者，而没有 Sender 字段。"),
    ),
    "bad-sender": (("", "Sender 中不是恰好一个邮箱。"),),
    "unqualified-from": (
        (r"The domain of (\S+) has no dot; .*", "{0} 的域没有点；接收SMTP无法回复，许多还会拒收。"),
        ("", "作者的域没有点。"),
    ),
    "misleading-name": (
        (
            r"The display name shows the address (\S+), and the message is from (\S+)\.",
            "显示名是地址 {0}，而邮件来自 {1}。",
        ),
        ("", "显示名是另一个地址。"),
    ),
    "no-recipient-field": (("", "既没有 To 也没有 Cc；过滤器会把这样的邮件当作垃圾邮件。"),),
    "bcc-left": (("", "Bcc 字段会让每个收到邮件的人看到密送的收件人。"),),
    "bad-address": ((r"(\S+?): .*", "{0} 中的地址格式有误。"), ("", "地址格式有误。")),
    "bad-date": (
        (r"The date (.*) is no date\.", "{0} 不是日期。"),
        (r"The date (.*) is not written as RFC 5322 has it\.", "日期 {0} 不是 RFC 5322 的格式。"),
        ("", "日期的格式有误。"),
    ),
    "future-date": (
        (r"The date is (\d+) days in the future; .*", "日期在 {0} 天之后；过滤器会把这样的邮件当作垃圾邮件。"),
        (r"The date is (\d+) hours in the future; .*", "日期在 {0} 小时之后；过滤器会把这样的邮件当作垃圾邮件。"),
        ("", "日期在将来。"),
    ),
    "old-date": (
        (r"The date is (\d+) days ago; .*", "日期是 {0} 天之前；按日期排列时，邮件会排得很后。"),
        (r"The date is (\d+) hours ago; .*", "日期是 {0} 小时之前；按日期排列时，邮件会排得很后。"),
        ("", "日期太早。"),
    ),
    "bad-id": (
        (r"(\S+) is not written as <local@domain>; .*", "{0} 不是 <local@domain> 的形式；回复无法据此归入同一会话。"),
        ("", "标识的格式有误。"),
    ),
    "space-before-colon": (
        (r"White space stands between (\S+) and its colon; .*", "{0} 与冒号之间有空白；有些程序看不到这样的字段。"),
        ("", "字段名与冒号之间有空白。"),
    ),
    "raw-8bit-header": (
        (
            r"(\S+) has octets beyond ASCII, which only hosts with SMTPUTF8 take\.",
            "{0} 中有 ASCII 之外的字节，只有支持 SMTPUTF8 的主机接收。",
        ),
        (r"(\S+) has octets beyond ASCII that are not UTF-8\.", "{0} 中有 ASCII 之外、又不是 UTF-8 的字节。"),
        ("", "邮件头中有 ASCII 之外的字节。"),
    ),
    "empty-folded-line": (
        (r"(\S+) has a line of white space alone; .*", "{0} 中有一行只有空白；有些程序会以为邮件头到此为止。"),
        ("", "邮件头中有一行只有空白。"),
    ),
    "encoded-word-for-programs": (
        (r"(\S+) has an encoded word, which .*", "{0} 中有编码字，而程序在那里不会解码。"),
        ("", "不该有编码字的字段里有编码字。"),
    ),
    "long-encoded-word": (
        (r"An encoded word in (\S+) has (\d+) octets\.", "{0} 中有一个编码字长达 {1} 字节。"),
        ("", "有一个编码字太长。"),
    ),
    "bad-encoded-word": (
        (
            r"An encoded word in (\S+) has an encoding other than Q and B\.",
            "{0} 中有一个编码字的编码既不是 Q 也不是 B。",
        ),
        (r"An encoded word in (\S+) has white space within; .*", "{0} 中有一个编码字内有空白；阅读程序会原样显示。"),
        ("", "编码字的格式有误。"),
    ),
    "no-subject": (("", "邮件没有主题。"),),
    "bad-auto-submitted": (
        (r"Auto-Submitted has the value (.*), which no program knows\.", "Auto-Submitted 的值是 {0}，没有程序认识。"),
        ("", "Auto-Submitted 的值有误。"),
    ),
    "return-path-set": (("", "邮件投递之前就有了 Return-Path；最后一台主机会把它换掉。"),),
    "nul": (("", "邮件中有 NUL 字节。"),),
    "large-message": (
        (
            r"The message has (\S+) octets; large receivers take at most (\S+)\.",
            "邮件有 {0} 字节；大的邮件服务商最多接收 {1} 字节。",
        ),
        ("", "邮件太大。"),
    ),
    "bare-lf": (("", "有一行以 LF 结尾，其他行以 CRLF 结尾；主机会拒收这样的邮件，或把它读成两封。"),),
    "bare-cr": (("", "有一个 CR 后面没有 LF。"),),
    "long-line": (
        (r"A line has more than (\d+) octets; .*", "有一行超过 {0} 字节；主机会把它断开（签名随之失效）或拒收。"),
        ("", "有一行太长。"),
    ),
    "missing-mime-version": (("", "有 MIME 字段，却没有 MIME-Version 字段。"),),
    "unknown-encoding": (
        (r"The transfer encoding (.*) is not known; .*", "不认识传输编码 {0}；阅读程序会原样显示这一部分。"),
        ("", "不认识传输编码。"),
    ),
    "encoded-multipart": (
        (r"A multipart is encoded as (.*)\.", "一个 multipart 用 {0} 编码了。"),
        ("", "一个 multipart 被编码了。"),
    ),
    "undeclared-8bit": (("", "有一部分含 ASCII 之外的字节，却没有传输编码说明。"),),
    "no-text-part": (("", "只有 HTML 而没有纯文本；过滤器会把这样的邮件当作垃圾邮件，有些阅读程序什么也不显示。"),),
    "mixed-charsets": (
        (r"The texts are in several charsets: (.*)\.", "各段文本的字符集不同：{0}。"),
        ("", "各段文本的字符集不同。"),
    ),
    "long-html": (("", "HTML 太长，Gmail 会截断后面的部分。"),),
    "active-html": (
        (r"The HTML has a (\S+) element, which .*", "HTML 中有 {0} 元素，邮件程序会把它去掉。"),
        ("", "HTML 中有邮件程序会去掉的元素。"),
    ),
    "missing-inline-part": (
        (
            r"The HTML shows (\S+), and no part has this Content-ID\.",
            "HTML 引用了 {0}，而没有一部分带这个 Content-ID。",
        ),
        ("", "HTML 引用了没有的 Content-ID。"),
    ),
    "unused-inline-part": (
        (r"The part (.*) is inline, and the HTML does not show it\.", "{0} 是内嵌的，而 HTML 没有引用它。"),
        ("", "有内嵌的部分没有被引用。"),
    ),
    "blocked-attachment": (
        (r"Large receivers refuse files such as (.*), which can run\.", "大的邮件服务商拒收 {0} 这类可以运行的文件。"),
        ("", "有可以运行的附件。"),
    ),
    "no-unsubscribe": (("", "没有 List-Unsubscribe 字段；没有它的群发邮件，大的邮件服务商会拒收。"),),
    "bad-unsubscribe": (("", "List-Unsubscribe 中没有放在尖括号里的 URL。"),),
    "no-one-click": (("", "没有 List-Unsubscribe-Post 字段；Gmail 和 Yahoo 要求群发者写上它。"),),
    "bad-one-click": (
        (r"List-Unsubscribe-Post has the value (.*)\.", "List-Unsubscribe-Post 的值是 {0}。"),
        ("", "List-Unsubscribe-Post 的值有误。"),
    ),
    "no-https-unsubscribe": (("", "一键退订需要 List-Unsubscribe 中有 https 的 URL。"),),
    "unsigned-unsubscribe": (
        ("", "没有 DKIM 签名涵盖 List-Unsubscribe 和 List-Unsubscribe-Post；接收SMTP不会理会它们。"),
    ),
    "not-a-field": (("", "邮件头中有一行不是字段。"),),
    "no-empty-line": (("", "最后一个字段之后没有空行。"),),
    "long-header": (("", "邮件头太长。"),),
    "bad-content-type": ((r"(\S+?): .*", "{0} 的格式有误。"), ("", "内容类型的格式有误。")),
    "no-boundary": (("", "一个 multipart 没有分界。"),),
    "unterminated-multipart": (("", "一个 multipart 没有正确结束。"),),
    "bad-base64": (("", "有一部分的 base64 编码有误。"),),
    "bad-quoted-printable": (("", "有一部分的 quoted-printable 编码有误。"),),
    "wrong-charset": (("", "文本与所写的字符集不符，或没有写明字符集。"),),
    "encoded-file-name": (("", "文件名写成了编码字。"),),
    "uuencode": (("", "正文中有 uuencode 编码的文件。"),),
    "too-deep": (("", "multipart 套了太多层。"),),
}

#: Pattern of an English remedy → the Chinese one.
LINT_REMEDIES_ZH: Final = (
    (r"Begin it with fields such as From and Date, .*", "请以 From、Date 等字段开头，并在正文之前留一个空行。"),
    (r"Add a (\S+) field\.", "请加上 {0} 字段。"),
    (r"Add a Message-ID that no other message has\.", "请加上与众不同的 Message-ID。"),
    (r"Keep one (\S+) field\.", "请只保留一个 {0} 字段。"),
    (r"Write it as Name <local@domain>\.", "请写成“名称 <local@domain>”。"),
    (r"Name one mailbox\.", "请只写一个邮箱。"),
    (
        r"Add a Sender field with one mailbox, or name one author\.",
        "请加上只有一个邮箱的 Sender 字段，或只写一位作者。",
    ),
    (r"Use an address that is valid on the internet\.", "请使用在互联网上有效的地址。"),
    (r"Leave addresses out of the display name\.", "显示名中不要写地址。"),
    (
        r"Add a To field; for recipients who are not to see each other: (.*)",
        "请加上 To 字段；收件人不应彼此看到时，写 {0}",
    ),
    (r"Take the field out before the message is sent\.", "请在发送之前去掉这个字段。"),
    (r"Write each mailbox as Name <local@domain>, .*", "请把每个邮箱写成“名称 <local@domain>”，名称中有逗号时加引号。"),
    (r"Write it as: (.*)\.", "请写成：{0}。"),
    (r"Set the clock of the host that writes it, and the zone\.", "请校准写信主机的时钟和时区。"),
    (r"Date it when it is sent, if it is new\.", "如果是新邮件，请以发送的时间为日期。"),
    (r"Write (\S+) as <words@domain>, .*", "请把 {0} 写成 <words@domain>，其中不要有空格和编码字。"),
    (r"Take it out\.", "请去掉它。"),
    (r"Write words as encoded words .*", "请把文字写成编码字（=?utf-8?q?…?=），文件名按 RFC 2231 书写。"),
    (r"Take the line out\.", "请去掉这一行。"),
    (r"Write the value of (\S+) in ASCII, .*", "请用 ASCII 书写 {0} 的值，并只在空白处折行。"),
    (r"Make several of at most (\d+) octets\.", "请分成几个，每个最多 {0} 字节。"),
    (r"Use Q or B\.", "请用 Q 或 B。"),
    (r"Write a space as _ \(Q\) or within the base64 \(B\)\.", "空格请写成 _（Q），或编入 base64（B）。"),
    (r"Add a Subject that says what it is about\.", "请加上说明内容的 Subject。"),
    (r"Write auto-generated, auto-replied or no\.", "请写 auto-generated、auto-replied 或 no。"),
    (r"Give the reverse-path in the envelope \(MAIL FROM\)\.", "请把回复路径写在信封中（MAIL FROM）。"),
    (r"Send a link to the files\.", "请改为发送文件的链接。"),
    (r"End every line with CRLF\.", "每一行都请以 CRLF 结尾。"),
    (r"End every line with CRLF, and encode CRs that are data\.", "每一行都请以 CRLF 结尾，作为数据的 CR 请编码。"),
    (r"Fold fields; encode texts as .*", "字段请折行，文本请用 quoted-printable 或 base64 编码。"),
    (r"Add MIME-Version: 1\.0\.", "请加上 MIME-Version: 1.0。"),
    (r"Use 7bit, 8bit, quoted-printable or base64\.", "请用 7bit、8bit、quoted-printable 或 base64。"),
    (r"Encode the parts in it, and leave the multipart .*", "请为其中的各部分编码，multipart 本身用 7bit 或 8bit。"),
    (r"Name 8bit, or encode it .*", "请写明 8bit，或用 quoted-printable、base64 编码。"),
    (r"Send both as multipart/alternative, the text first\.", "请用 multipart/alternative 两样都发，纯文本在前。"),
    (r"Use UTF-8 for all of them\.", "请一律用 UTF-8。"),
    (r"Make it shorter.*|Shorten .*", "请缩短。"),
    (r"Link to a page that has it\.", "请链接到有它的网页。"),
    (r"Attach the picture with this Content-ID, .*", "请附上带这个 Content-ID 的图片，或去掉引用。"),
    (r"Attach it, or show it by cid:\.", "请作为附件，或用 cid: 引用它。"),
    (r"Send a link to it\.", "请改为发送它的链接。"),
    (
        r"Add List-Unsubscribe with an https URL, .*",
        "请加上有 https URL 的 List-Unsubscribe，以及 List-Unsubscribe-Post: List-Unsubscribe=One-Click。",
    ),
    (r"Write it as (<.*)\.", "请写成 {0}。"),
    (
        r"Add List-Unsubscribe-Post: List-Unsubscribe=One-Click, .*",
        "请加上 List-Unsubscribe-Post: List-Unsubscribe=One-Click，并在那个 URL 接受 POST。",
    ),
    (r"Write exactly (\S+)\.", "请恰好写成 {0}。"),
    (r"Add one that identifies the recipient and takes a POST\.", "请加上一个能认出收件人、并接受 POST 的 URL。"),
    (r"Name both fields in h= of a signature\.", "请在签名的 h= 中写上这两个字段。"),
    (r"Write each field as Name: value, .*", "请把每个字段写成“名称：值”，续行以空格开头。"),
    (r"Put an empty line behind the last field\.", "请在最后一个字段之后加一个空行。"),
    (r"Write fewer and shorter fields\.", "字段请少写、写短。"),
    (r"Write it as type/subtype; parameter=value\.", "请写成 type/subtype; parameter=value。"),
    (r"Give the parameter a value, or leave it out\.", "请给这个参数一个值，或去掉它。"),
    (r"Name the boundary in Content-Type\.", "请在 Content-Type 中写明分界。"),
    (r"End the multipart with its boundary .*", "请用前后各有两个连字符的分界结束这个 multipart。"),
    (r"Put the closing delimiter behind the last part\.", "请把结束的分界放在最后一部分之后。"),
    (r"Encode the part as base64\.", "请用 base64 为这一部分编码。"),
    (r"Encode the part again\.", "请重新为这一部分编码。"),
    (r"Encode the part again; an equals sign is written =3D\.", "请重新为这一部分编码；等号写成 =3D。"),
    (r"Name the charset that the text is in; best use UTF-8\.", "请写明文本的字符集，最好用 UTF-8。"),
    (r"Write the name by RFC 2231: (.*)", "请按 RFC 2231 书写文件名：{0}"),
    (r"Attach the file as a part of the message\.", "请把文件作为邮件的一部分附上。"),
    (r"Put fewer multiparts within one another\.", "请减少 multipart 的层数。"),
)


def chinese_lint_text(rule: str, text: str) -> str:
    """What is wrong, in Chinese; ``text`` is the English sentence of a finding."""
    for pattern, chinese in LINT_RULES_ZH.get(rule, ()):
        found = re.fullmatch(pattern, text, re.DOTALL) if pattern else re.match("", text)
        if found is not None:
            return chinese.format(*found.groups())
    return text


def chinese_lint_remedy(remedy: str) -> str:
    """What to do, in Chinese; a remedy without a row is given back unchanged."""
    for pattern, chinese in LINT_REMEDIES_ZH:
        found = re.fullmatch(pattern, remedy, re.DOTALL)
        if found is not None:
            return chinese.format(*(group or "" for group in found.groups()))
    return remedy


def chinese_defect(text: str) -> str:
    """A defect with its code behind it, ``text (code)``, in Chinese; one whose code has no row is given back
    unchanged."""
    return DEFECTS_ZH.get(text.rpartition(" (")[2].rstrip(")"), text)
