"""Occasions: how each reply code and each command of the catalogue is seen in a practice session.

Each row names a door and what is typed there; the last reply has the code.  A *pretended* code is one that Posthouse
itself would not give there: the recipient's address asks for it, as in the catcher (``sandbox.address_faults``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from posthouse.codes.model import Text

__all__ = ["CLASSIC_DIALOGUE", "CODE_OCCASIONS", "COMMAND_OCCASIONS", "Occasion"]

_HELO: Final = "HELO sohu.com"
_EHLO: Final = "EHLO sohu.com"
_MAIL: Final = "MAIL FROM:<langrui@sohu.com>"
_RCPT: Final = "RCPT TO:<renping@sina.com>"
_TLS: Final = (_EHLO, "STARTTLS", _EHLO)
_LOGIN: Final = "AUTH PLAIN AGxhbmdydWkAcGVhY2gtYmxvc3NvbQ=="

#: The classic dialogue, as texts on SMTP print it: langrui@sohu.com writes to renping@sina.com.
CLASSIC_DIALOGUE: Final = (
    _HELO,
    _MAIL,
    _RCPT,
    "DATA",
    "From: langrui@sohu.com",
    "To: renping@sina.com",
    "Subject: hello",
    "",
    "Dear Renping, it works.",
    ".",
    "QUIT",
)


class Occasion(NamedTuple):
    """How one code or command is seen.

    Args:
        lines: What is typed after the greeting; the last reply is the one that is meant.
        why: Why the receiving SMTP answers so.
        door: The door of the practice world.
        pretended: Whether the code is asked for by the recipient's address.
    """

    lines: tuple[str, ...]
    why: Text
    door: str = "mx"
    pretended: bool = False


def _pretended(code: int, english: str, chinese: str) -> Occasion:
    return Occasion((_HELO, _MAIL, f"RCPT TO:<reply-{code}@sina.com>"), Text(english, chinese), pretended=True)


#: Reply code → its occasion, in numerical order.
CODE_OCCASIONS: Final[Mapping[int, Occasion]] = MappingProxyType(
    {
        211: Occasion(("HELP",), Text("HELP alone lists the commands.", "HELP 不带参数，列出可用的命令。")),
        214: Occasion(("HELP MAIL",), Text("HELP with a command explains it.", "HELP 带上命令，说明这条命令。")),
        220: Occasion((), Text("The greeting comes before anything is typed.", "连接建立后，接收SMTP 先发出问候。")),
        221: Occasion(("QUIT",), Text("QUIT ends the session.", "QUIT 结束会话。")),
        235: Occasion(
            (*_TLS, _LOGIN),
            Text(
                "The name and the password of langrui, in base64, are right.", "langrui 的用户名和密码（base64）正确。"
            ),
            "submission",
        ),
        250: Occasion(
            (_HELO, _MAIL, _RCPT, "DATA", "Subject: hello", "", "It works.", "."),
            Text(
                "Each step is done; the last 250 takes responsibility.", "每一步都已完成；最后的 250 表示对方负起责任。"
            ),
        ),
        251: Occasion(
            (_HELO, _MAIL, "RCPT TO:<wanghong@sina.com>"),
            Text("The mailbox has moved, and mail is forwarded.", "邮箱已迁走，邮件会代为转发。"),
        ),
        252: Occasion(
            ("VRFY langrui@sohu.com",),
            Text("The address is in a domain of others, so nothing is said about it.", "该地址属于别的域，无法核实。"),
        ),
        334: Occasion(
            (*_TLS, "AUTH LOGIN"),
            Text("The mechanism LOGIN asks for the name next.", "LOGIN 机制接着询问用户名。"),
            "submission",
        ),
        354: Occasion((_HELO, _MAIL, _RCPT, "DATA"), Text("The content may come now.", "现在可以发送邮件内容。")),
        421: Occasion((), Text("The host has too many connections.", "该主机的连接过多。"), "busy"),
        432: _pretended(
            432,
            "A server whose accounts have new passwords answers so to AUTH; Posthouse does not.",
            "更换密码方案的服务器会这样应答 AUTH；Posthouse 不会。",
        ),
        450: Occasion(
            (_HELO, _MAIL, "RCPT TO:<zhaolei@sina.com>"),
            Text("The mailbox takes no mail for now.", "该邮箱暂时不收邮件。"),
        ),
        451: Occasion(
            (_HELO, _MAIL, "RCPT TO:<tempfail@sina.com>"),
            Text(
                "The receiver has trouble of its own, which the address pretends.",
                "接收SMTP 自身出错；这里由地址模拟。",
            ),
            pretended=True,
        ),
        452: Occasion(
            (
                _HELO,
                _MAIL,
                _RCPT,
                "RCPT TO:<service@sina.com>",
                "RCPT TO:<friends@sina.com>",
                "RCPT TO:<renping@sina.net>",
            ),
            Text("One recipient more than a message may have here.", "收件人数超过了此处每封邮件的上限。"),
        ),
        454: Occasion(
            (*_TLS, "AUTH PLAIN AGJyb2tlbgB4"),
            Text("The account named broken cannot be read just now.", "名为 broken 的账户此刻无法读取。"),
            "submission",
        ),
        455: _pretended(
            455,
            "A server that cannot honour a parameter just now answers so; Posthouse does not.",
            "暂时无法满足参数要求的服务器会这样应答；Posthouse 不会。",
        ),
        500: Occasion(("FLY",), Text("There is no such command.", "没有这条命令。")),
        501: Occasion((_HELO, "MAIL FROM:<langrui@>"), Text("The address has no domain.", "地址缺少域名。")),
        502: Occasion(("TURN",), Text("The command is known and not offered.", "认识这条命令，但不提供。")),
        503: Occasion((_HELO, _RCPT), Text("RCPT before MAIL is out of order.", "RCPT 之前必须先有 MAIL。")),
        504: Occasion(("HELP ME",), Text("HELP has no such topic.", "HELP 没有这个主题。")),
        521: Occasion((), Text("This host takes no mail at all.", "该主机根本不接收邮件。"), "closed"),
        523: _pretended(
            523,
            "A server that wants encryption answers so to AUTH; Posthouse gives 538.",
            "要求加密的服务器会这样应答 AUTH；Posthouse 用 538。",
        ),
        530: Occasion(
            (*_TLS, _MAIL),
            Text("This door takes mail after AUTH only.", "此处须先用 AUTH 登录，才接受邮件。"),
            "submission",
        ),
        534: _pretended(
            534,
            "A server that finds the mechanism too weak answers so to AUTH; Posthouse does not offer such.",
            "认为验证机制过弱的服务器会这样应答 AUTH；Posthouse 不提供这样的机制。",
        ),
        535: Occasion(
            (*_TLS, "AUTH PLAIN AGxhbmdydWkAd3Jvbmc="),
            Text("The password is wrong.", "密码错误。"),
            "submission",
        ),
        538: Occasion(
            (_EHLO, _LOGIN),
            Text("The mechanism would show the password, and TLS is not up.", "该机制会暴露密码，而连接尚未加密。"),
            "submission",
        ),
        541: _pretended(
            541,
            "Some filters answer so to a message that they refuse; Posthouse does not.",
            "有些过滤系统拒收邮件时这样应答；Posthouse 不会。",
        ),
        550: Occasion(
            (_HELO, _MAIL, "RCPT TO:<nobody@sina.com>"),
            Text("The domain is local, and has no such mailbox.", "该域由本机负责，但没有这个邮箱。"),
        ),
        551: Occasion(
            (_HELO, _MAIL, "RCPT TO:<wanghong@sina.net>"),
            Text("The mailbox has moved, and the sender is told where.", "邮箱已迁走，告知发件人新地址。"),
        ),
        552: Occasion(
            (_EHLO, f"{_MAIL} SIZE=65537"),
            Text("The message is larger than is accepted.", "邮件超过了可接受的大小。"),
        ),
        553: Occasion(
            ("VRFY renping",),
            Text("Two domains have this mailbox, so the name is ambiguous.", "两个域都有这个邮箱，名称有歧义。"),
        ),
        554: Occasion(
            (_HELO, _MAIL, "RCPT TO:<nobody@sina.com>", "DATA"),
            Text("No recipient was accepted, so there is nothing to send to.", "没有一位收件人被接受，无从投递。"),
        ),
        555: Occasion(
            (_EHLO, f"{_MAIL} HOLDFOR=60"),
            Text("The parameter belongs to an extension that is not offered.", "该参数属于未提供的扩展。"),
        ),
        556: _pretended(
            556,
            "A relay answers so when the domain publishes that it takes no mail; Posthouse finds out when it sends.",
            "域名声明不接收邮件时，中转服务器会这样应答；Posthouse 在发送时才得知。",
        ),
    }
)

_OLD: Final = Text(
    "An old command: known, and not offered by anybody who is careful.", "旧命令：认识，但谨慎的服务器都不提供。"
)

#: Command → its occasion; the last line is the command.
COMMAND_OCCASIONS: Final[Mapping[str, Occasion]] = MappingProxyType(
    {
        "HELO": Occasion((_HELO,), Text("Begins a session, without extensions.", "开始会话，不使用扩展。")),
        "EHLO": Occasion(
            (_EHLO,), Text("Begins a session; the reply lists the extensions.", "开始会话，应答列出支持的扩展。")
        ),
        "LHLO": Occasion(("LHLO sohu.com",), Text("Begins a session of LMTP.", "开始 LMTP 会话。"), "lmtp"),
        "MAIL": Occasion(
            (_HELO, _MAIL), Text("Begins a message, and names its sender.", "开始一封邮件，并给出发件人。")
        ),
        "RCPT": Occasion((_HELO, _MAIL, _RCPT), Text("Names a recipient.", "给出一位收件人。")),
        "DATA": Occasion((_HELO, _MAIL, _RCPT, "DATA"), Text("The content comes next.", "接着发送邮件内容。")),
        ".": Occasion(
            (_HELO, _MAIL, _RCPT, "DATA", "Subject: hello", "", "It works.", "."),
            Text("A dot alone ends the content.", "单独一行的点号结束内容。"),
        ),
        "BDAT": Occasion(
            (_EHLO, _MAIL, _RCPT, "BDAT 16", "Subject: hello", "BDAT 13 LAST", "", "It works."),
            Text(
                "Content counted in octets, CR and LF too; no dot ends it.",
                "按字节计数的内容，CR 和 LF 也计入；不需要点号结束。",
            ),
        ),
        "RSET": Occasion((_HELO, _MAIL, "RSET"), Text("Forgets the message that was begun.", "放弃已开始的邮件。")),
        "VRFY": Occasion(("VRFY zhaolei",), Text("Asks whether a mailbox exists.", "询问邮箱是否存在。")),
        "EXPN": Occasion(("EXPN friends",), Text("Asks who is on a list.", "询问邮件列表的成员。")),
        "HELP": Occasion(("HELP",), Text("Asks which commands there are.", "询问可用的命令。")),
        "NOOP": Occasion(("NOOP",), Text("Does nothing, and is answered.", "什么也不做，但会得到应答。")),
        "QUIT": Occasion(("QUIT",), Text("Ends the session.", "结束会话。")),
        "STARTTLS": Occasion(
            (_EHLO, "STARTTLS"),
            Text("Encrypts the channel; the page makes the handshake.", "加密通讯链路；握手由本页代劳。"),
        ),
        "AUTH": Occasion((*_TLS, _LOGIN), Text("Logs in as langrui.", "以 langrui 的身份登录。"), "submission"),
        "SEND": Occasion((_HELO, "SEND FROM:<langrui@sohu.com>"), _OLD),
        "SOML": Occasion((_HELO, "SOML FROM:<langrui@sohu.com>"), _OLD),
        "SAML": Occasion((_HELO, "SAML FROM:<langrui@sohu.com>"), _OLD),
        "TURN": Occasion((_HELO, "TURN"), _OLD),
        "ETRN": Occasion(
            (_EHLO, "ETRN sina.com"),
            Text("Asks for the queue of a domain; not offered here.", "请求启动某个域的队列；此处不提供。"),
        ),
    }
)
