"""The commands of SMTP, each explained in English and Chinese (RFC 5321 §4.1.1, and the extensions' RFCs).

Data, with one function: ``command`` finds the entry for a word as people write it.  HELLO and REST, which many texts
teach, are found as HELO and RSET.  Old commands that no server should offer any more (SEND, SOML, SAML, TURN) are here
because the same texts list them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from posthouse.codes.model import Text

__all__ = ["ALL_COMMANDS", "CommandEntry", "command"]


class CommandEntry(NamedTuple):
    """One command.

    Args:
        verb: The command word in upper case, as the RFC spells it; "." for the line that ends the content.
        syntax: How the line is written; brackets are around what may be left out.
        meaning: What the receiving SMTP does, and what its positive reply means.
        when: At which point of a session the command is legal.
        replies: The usual reply codes, the positive one first.
        source: The section of the RFC.
        note: Further remarks.
        older: An older spelling that Posthouse understands, or "".
        offered: False if Posthouse knows the word and never offers the command (502).
    """

    verb: str
    syntax: str
    title: Text
    meaning: Text
    when: Text
    replies: tuple[int, ...]
    source: str
    note: Text | None = None
    older: str = ""
    offered: bool = True


_ANY_TIME = Text(
    "At any time between the greeting and QUIT, except inside the content.",
    "问候之后、QUIT 之前随时可用，正在发送邮件内容时除外。",
)
_AFTER_HELLO = Text(
    "After EHLO or HELO, while no transaction is open.", "在 EHLO 或 HELO 之后，且没有未完成的邮件事务时。"
)
_OLD = Text(
    "Never here: RFC 5321 advises against it (Appendix F), and Posthouse answers 502.",
    "本机从不提供：RFC 5321 附录 F 不建议使用，Posthouse 一律应答 502。",
)

_COMMANDS: tuple[CommandEntry, ...] = (
    CommandEntry(
        "HELO",
        "HELO domain",
        Text("Begin a session, the plain way", "开始会话（基本方式）"),
        Text(
            "The sending SMTP gives its own host name. 250 begins the session, without any extension.",
            "发送SMTP 报出自己的主机名。应答 250 表示会话开始，但不使用任何扩展。",
        ),
        Text(
            "First of all, after the greeting 220; later it begins anew and gives up an open transaction.",
            "收到问候 220 之后首先发送；之后再次发送则重新开始，并放弃未完成的邮件事务。",
        ),
        (250, 501, 504, 550),
        "RFC 5321 §4.1.1.1",
        Text(
            "Many texts write HELLO; on the wire the verb has four letters, and Posthouse understands both.",
            "许多教材写作 HELLO；实际的命令是四个字母的 HELO，Posthouse 两种写法都接受。",
        ),
        "HELLO",
    ),
    CommandEntry(
        "EHLO",
        "EHLO domain",
        Text("Begin a session, and ask for the extensions", "开始会话，并询问扩展"),
        Text(
            "Like HELO, and the reply lists what the receiving SMTP offers: SIZE, 8BITMIME, PIPELINING and so on, one "
            "on each line.",
            "与 HELO 相同，但应答会逐行列出接收SMTP 支持的扩展：SIZE、8BITMIME、PIPELINING 等。",
        ),
        Text(
            "First of all, after the greeting 220; later it begins anew and gives up an open transaction.",
            "收到问候 220 之后首先发送；之后再次发送则重新开始，并放弃未完成的邮件事务。",
        ),
        (250, 500, 501, 550),
        "RFC 5321 §4.1.1.1",
        Text(
            "A server that answers 500 or 502 is old: send HELO instead.",
            "若对方应答 500 或 502，说明它较旧，改发 HELO 即可。",
        ),
    ),
    CommandEntry(
        "LHLO",
        "LHLO domain",
        Text("Begin a session of LMTP", "开始 LMTP 会话"),
        Text(
            "EHLO of LMTP, the protocol between a mail server and the mailboxes behind it: after the content there is "
            "one reply for each recipient.",
            "LMTP 中的 EHLO。LMTP 用于邮件服务器与其后的邮箱系统之间：内容结束后，每位收件人各有一个应答。",
        ),
        Text("First of all, on an LMTP listener only.", "最先发送，且只用于 LMTP 监听端口。"),
        (250, 500, 501),
        "RFC 2033 §4.1",
    ),
    CommandEntry(
        "MAIL",
        "MAIL FROM:<sender> [SIZE=octets] [BODY=8BITMIME] [SMTPUTF8] [RET=…] [ENVID=…]",
        Text("Begin a message, and name its sender", "开始一封邮件，并给出发件人"),
        Text(
            "Opens a transaction. Delivery reports go to this address; <> is the sender of a report, which must cause "
            "no further report. The address may differ from the From field of the message.",
            "开启一个邮件事务。投递报告发往此地址；<> 表示这封邮件本身就是报告，不得再引起报告。"
            "此地址可以与邮件头中的 From 不同。",
        ),
        _AFTER_HELLO,
        (250, 450, 451, 452, 501, 503, 530, 550, 552, 555),
        "RFC 5321 §4.1.1.2",
        Text(
            "The reply opens the transaction, not the command: after a 5xx there is none.",
            "开启事务的是应答而不是命令：若应答为 5xx，则没有事务。",
        ),
    ),
    CommandEntry(
        "RCPT",
        "RCPT TO:<recipient> [NOTIFY=…] [ORCPT=…]",
        Text("Add a recipient", "添加一位收件人"),
        Text(
            "Names one recipient; the command is repeated for each further one, and each has a reply of its own.",
            "给出一位收件人；有多位收件人时重复此命令，每位各有一个应答。",
        ),
        Text("After MAIL was answered 250.", "在 MAIL 得到 250 之后。"),
        (250, 251, 450, 451, 452, 501, 503, 550, 551, 552, 553),
        "RFC 5321 §4.1.1.3",
        Text(
            "One refused recipient does not end the transaction: the message goes to the others.",
            "某位收件人被拒绝并不结束事务，邮件仍会发给其他收件人。",
        ),
    ),
    CommandEntry(
        "DATA",
        "DATA",
        Text("Send the message", "发送邮件内容"),
        Text(
            "354 means: go on. From here on no line is a command, until a line that is a single dot; the reply after "
            "the dot says whether the receiving SMTP has taken the message and answers for it.",
            "应答 354 表示可以继续。此后各行都不是命令，直到单独一行的点号；"
            "点号之后的应答说明接收SMTP 是否已接下这封邮件并对它负责。",
        ),
        Text("After at least one RCPT was answered 250 or 251.", "在至少一条 RCPT 得到 250 或 251 之后。"),
        (354, 250, 451, 452, 503, 552, 554),
        "RFC 5321 §4.1.1.4",
    ),
    CommandEntry(
        ".",
        ".",
        Text("The end of the message", "邮件内容结束"),
        Text(
            "A dot alone on its line, between CRLF and CRLF, ends what DATA began. 250 means that the message is "
            "stored and the receiving SMTP is responsible for it. A line of the message that begins with a dot is "
            "sent with a second dot in front, which the receiver takes off.",
            "单独一行的点号（前后都是 CRLF）结束 DATA 之后的内容。应答 250 表示邮件已存妥，由接收SMTP 负责。"
            "邮件中以点号开头的行，发送时前面多加一个点号，接收SMTP 会去掉它。",
        ),
        Text("After 354.", "在 354 之后。"),
        (250, 451, 452, 552, 554),
        "RFC 5321 §4.1.1.4, §4.5.2",
    ),
    CommandEntry(
        "BDAT",
        "BDAT octets [LAST]",
        Text("Send a part of the message, counted", "按字节数发送邮件内容"),
        Text(
            "So many octets follow the line directly, and no dot ends them; the part with LAST is the message's end.",
            "命令行之后紧跟指定数目的字节，不以点号结束；带 LAST 的一段是邮件的末尾。",
        ),
        Text(
            "In place of DATA, where EHLO's reply has CHUNKING.",
            "在 EHLO 的应答列出 CHUNKING 时，可代替 DATA。",
        ),
        (250, 451, 452, 501, 503, 552, 554),
        "RFC 3030 §2",
    ),
    CommandEntry(
        "RSET",
        "RSET",
        Text("Give up the message that was begun", "放弃当前邮件"),
        Text(
            "Forgets sender, recipients and content; the session goes on.",
            "清除发件人、收件人和邮件内容；会话继续。",
        ),
        _ANY_TIME,
        (250, 501),
        "RFC 5321 §4.1.1.5",
        Text(
            "Some texts write REST; the RFC's verb is RSET, and Posthouse understands both.",
            "有些教材写作 REST；RFC 中的命令是 RSET，Posthouse 两种写法都接受。",
        ),
        "REST",
    ),
    CommandEntry(
        "VRFY",
        "VRFY name",
        Text("Does this mailbox exist?", "询问邮箱是否存在"),
        Text(
            "Asks about a user or a mailbox. 250 gives the address, 252 says neither yes nor no, 550 that there is no "
            "such mailbox.",
            "询问某个用户或邮箱。250 给出地址，252 既不肯定也不否定，550 表示没有这个邮箱。",
        ),
        _ANY_TIME,
        (250, 251, 252, 501, 550, 551, 553),
        "RFC 5321 §4.1.1.6, §3.5",
        Text(
            "It tells anybody who has a mailbox here, so most servers answer 252, and so does Posthouse by default.",
            "它会向任何人泄露谁有邮箱，因此大多数服务器都应答 252；Posthouse 未设 `vrfy = true` 时也是如此。",
        ),
    ),
    CommandEntry(
        "EXPN",
        "EXPN list",
        Text("Who is on this mailing list?", "询问邮件列表的成员"),
        Text(
            "Asks for the members of a mailing list; 250 has one on each line.",
            "询问邮件列表的成员；应答 250 每行给出一位。",
        ),
        _ANY_TIME,
        (250, 252, 501, 550, 553),
        "RFC 5321 §4.1.1.7, §3.5",
        Text(
            "Switched off it answers 252 (RFC 5321 §7.3); `expn = true` switches it on.",
            "关闭时应答 252（RFC 5321 §7.3）；设 `expn = true` 可以打开。",
        ),
    ),
    CommandEntry(
        "HELP",
        "HELP [command]",
        Text("Ask for help", "请求帮助"),
        Text(
            "Alone, 211 or 214 lists the commands; with a command, 214 explains it.",
            "单独使用时，应答 211 或 214 列出各条命令；带上一条命令时，应答 214 加以说明。",
        ),
        _ANY_TIME,
        (211, 214, 502, 504),
        "RFC 5321 §4.1.1.8",
    ),
    CommandEntry(
        "NOOP",
        "NOOP [text]",
        Text("No operation", "空操作"),
        Text(
            "Does nothing and is answered 250: a test whether the other side is there.",
            "不做任何事，应答 250：用来确认对方仍在线。",
        ),
        _ANY_TIME,
        (250, 500),
        "RFC 5321 §4.1.1.9",
    ),
    CommandEntry(
        "QUIT",
        "QUIT",
        Text("End the session", "结束会话"),
        Text(
            "221, and the receiving SMTP closes the connection. A message that was not ended with a dot is dropped.",
            "应答 221，随后接收SMTP 关闭连接。尚未以点号结束的邮件作废。",
        ),
        _ANY_TIME,
        (221,),
        "RFC 5321 §4.1.1.10",
    ),
    CommandEntry(
        "STARTTLS",
        "STARTTLS",
        Text("Encrypt the connection", "加密连接"),
        Text(
            "220 means that the TLS handshake begins; afterwards both sides start again with EHLO.",
            "应答 220 表示开始 TLS 握手；握手之后双方从 EHLO 重新开始。",
        ),
        Text("After EHLO, where its reply has STARTTLS.", "在 EHLO 之后，且其应答列出了 STARTTLS。"),
        (220, 454, 501, 502),
        "RFC 3207 §4",
        Text(
            'Posthouse offers it where the listener has `tls = "starttls"`; elsewhere it answers 502.',
            'Posthouse 在设有 `tls = "starttls"` 的监听端口上提供它，否则应答 502。',
        ),
    ),
    CommandEntry(
        "AUTH",
        "AUTH mechanism [initial-response]",
        Text("Say who is sending", "验证身份"),
        Text(
            "The sending SMTP proves who it is by a SASL mechanism such as PLAIN; 334 asks for more, 235 is success.",
            "发送SMTP 用 PLAIN 等 SASL 机制证明身份；334 要求继续，235 表示成功。",
        ),
        Text(
            "After EHLO, where its reply has AUTH, and before MAIL.",
            "在 EHLO 之后、MAIL 之前，且 EHLO 的应答列出了 AUTH。",
        ),
        (235, 334, 454, 502, 504, 535),
        "RFC 4954 §4",
        Text(
            "Posthouse offers it where the listener's `auth` is on, and a mechanism that shows the password only under "
            "TLS and on loopback; elsewhere it answers 502.",
            "Posthouse 在开启了 `auth` 的监听端口上提供它；会暴露密码的机制仅限 TLS 或回环地址；否则应答 502。",
        ),
    ),
    CommandEntry(
        "SEND",
        "SEND FROM:<sender>",
        Text("Write to a user's terminal", "发送到用户的终端"),
        Text(
            "Like MAIL, to the screen of a user who is logged in instead of the mailbox.",
            "与 MAIL 类似，但送到已登录用户的屏幕，而不是邮箱。",
        ),
        _OLD,
        (502,),
        "RFC 821 §3.4, RFC 5321 App. F.6",
        offered=False,
    ),
    CommandEntry(
        "SOML",
        "SOML FROM:<sender>",
        Text("To the terminal, or else to the mailbox", "送到终端，否则送入邮箱"),
        Text("Like SEND if the user is logged in, else like MAIL.", "用户已登录时同 SEND，否则同 MAIL。"),
        _OLD,
        (502,),
        "RFC 821 §3.4, RFC 5321 App. F.6",
        offered=False,
    ),
    CommandEntry(
        "SAML",
        "SAML FROM:<sender>",
        Text("To the terminal and to the mailbox", "同时送到终端和邮箱"),
        Text("Like SEND and MAIL at once.", "同时执行 SEND 和 MAIL。"),
        _OLD,
        (502,),
        "RFC 821 §3.4, RFC 5321 App. F.6",
        offered=False,
    ),
    CommandEntry(
        "TURN",
        "TURN",
        Text("Change roles", "交换角色"),
        Text(
            "The two sides change roles, so that the receiving SMTP sends. Nothing proves who asked for the mail.",
            "双方交换角色，由接收SMTP 改为发送。但无法证明是谁在索取邮件。",
        ),
        _OLD,
        (502,),
        "RFC 821 §3.8, RFC 5321 App. F.1",
        offered=False,
    ),
    CommandEntry(
        "ETRN",
        "ETRN domain",
        Text("Start the queue for a domain", "启动某个域的队列"),
        Text(
            "Asks a server to begin delivery of the mail that it holds for a domain.",
            "请服务器开始投递它为某个域保存的邮件。",
        ),
        Text("After EHLO, where its reply has ETRN.", "在 EHLO 之后，且其应答列出了 ETRN。"),
        (250, 251, 252, 253, 458, 459, 502),
        "RFC 1985",
        Text("Posthouse does not offer it and answers 502.", "Posthouse 不提供，应答 502。"),
        offered=False,
    ),
)

#: The commands by verb, in the order of a session.
ALL_COMMANDS: Mapping[str, CommandEntry] = MappingProxyType({entry.verb: entry for entry in _COMMANDS})
_BY_WORD: Mapping[str, CommandEntry] = MappingProxyType(
    {**ALL_COMMANDS, **{entry.older: entry for entry in _COMMANDS if entry.older}}
)
#: Second words that belong to a command as people write it: "MAIL FROM", "RCPT TO:<bob@example.org>".
_BEHIND: Mapping[str, tuple[str, ...]] = MappingProxyType({"MAIL": ("FROM",), "RCPT": ("TO",), "BDAT": ("LAST",)})


def command(word: str) -> CommandEntry | None:
    """The entry for a command as it is written (``MAIL``, ``mail from``, ``RCPT TO:<a@b>``, ``HELLO``), or None.

    A whole line of a dialogue is understood where its second word belongs to the command; other words after the first
    make it none, because ``help me`` is a sentence and no command.
    """
    words = word.replace(":", " ").split(maxsplit=2)
    entry = _BY_WORD.get(words[0].upper()) if words else None
    if entry is None or len(words) == 1:
        return entry
    return entry if words[1].upper() in _BEHIND.get(entry.verb, ()) else None
