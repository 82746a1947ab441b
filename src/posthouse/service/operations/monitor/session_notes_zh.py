"""Chinese texts of the notes that stand in a session: why a command was refused, how the session ended.

Each row has the pattern of one English note and its Chinese form, in which ``{0}`` is the first group; a group is
itself translated if a row fits it.  Replies are what was said on the wire, and stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason
from posthouse.service.operations.reasons_zh import chinese_reason

__all__ = ["chinese_note"]

_REPLY: Final = re.compile(r"[2-5][0-9]{2}(?:[ -]|$)")
_ROWS: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        # The session itself
        (r"the client ended the connection without QUIT", "客户端没有发出 QUIT 就断开了连接"),
        (r"… (\d+) lines …", "… 省略 {0} 行 …"),
        (r"([\d,]+) more refusals in this session, .*", "本会话中还有 {0} 次拒绝，次数过多，不逐条记录"),
        (r"(.+): session kept open, (\d+) messages? before", "{0}：沿用保留的会话，此前已传 {1} 封邮件"),
        (r"unix socket", "unix 套接字"),
        # What was refused, and why
        (r"([A-Z]{4,8}): (.*)", "{0}：{1}"),
        (r"STARTTLS: (.*)", "STARTTLS：{0}"),
        (r"connect: (.*)", "连接：{0}"),
        (r"session: (.*)", "会话：{0}"),
        (r"(helo|auth|mail|rcpt|data|end): (.*)", "{0}：{1}"),
        (r"(a line .*|a CR .*): (.*)", "{0}：{1}"),
        (r"a line ended by LF without CR", "行尾只有 LF，没有 CR"),
        (r"a CR without LF", "CR 之后没有 LF"),
        (r"a line longer than allowed", "行太长"),
        (r"a line without an end", "行没有结束"),
        (r"a rule of the protocol", "不合协议规则"),
        (r"spoke before the greeting", "没有等到 220 就发出了命令"),
        (r"an exception in the policy", "本机的规则出错"),
        # Recipients and senders
        (
            r"the domain is not ours and the peer is not in trusted_networks",
            "该域不由本机负责，客户端也不在 trusted_networks 中",
        ),
        (r"the peer is in trusted_networks", "客户端在 trusted_networks 中"),
        (r"no such name in a domain of ours", "该域由本机负责，但没有这个邮箱"),
        (r"no such name", "没有这个名称"),
        (r"a domain of others", "该域不由本机负责"),
        (r"moved; needs UTF-8|moved, forwarded; the address needs UTF-8", "邮箱已迁移，新地址需要 UTF-8"),
        (r"moved, with the new address|moved, forwarded", "邮箱已迁移"),
        (r"ambiguous", "有几个同样的名称"),
        (r"not a list", "不是邮件列表"),
        (r"list too long", "邮件列表太长"),
        (r"help: no topic", "没有这一帮助主题"),
        (r"vrfy is off", "已关闭 VRFY"),
        (r"expn is off", "已关闭 EXPN"),
        (r"paused", "邮箱已暂停接收"),
        (r"over quota", "超过配额"),
        (
            r"the client has not logged in, and is not in trusted_networks",
            "客户端没有登录，也不在 trusted_networks 中",
        ),
        (r"tls_required", "须先使用 TLS（tls_required）"),
        (r"(.*) in From or Sender is not an identity of (.*)", "From 或 Sender 中的 {0} 不是 {1} 可用的地址"),
        (r"check_from: (.*)", "无法按 check_from 核对：{0}"),
        (r"the accounts cannot be asked: (.*)", "无法查询账户：{0}"),
        (r"the account (.*) is gone, or switched off", "账户 {0} 已删除或已停用"),
        (r"not an identity of (.*)", "不是 {0} 可用的地址"),
        # Limits and storage
        (r"((?:max|min)_\w+) reached", "已达到 {0} 的上限"),
        (r"larger than (\w+)", "超过 {0}"),
        (r"less than min_free is left", "剩余空间少于 min_free"),
        (r"the spool's storage cannot be reached", "无法访问邮件的存储"),
        (r"the connection ended before the message was stored", "邮件存妥之前连接已断开"),
        (r"storage is full(?:: (.*))?", "存储空间已满"),
        (r"storage failed: (.*)", "存储出错：{0}"),
        (r"storage failed", "存储出错"),
        (r"content check (\S+): (.*)", "内容检查 {0} 出错：{1}"),
        (r"draining", "守护进程正在停止"),
        (r"closed", "此监听器不接收邮件"),
        # Faults on demand
        (r"on demand", "按要求模拟故障"),
        (r"the recipient (\S+) asks for it", "收件人地址 {0} 要求模拟此故障"),
        (r"(.*); the connection was cut", "{0}；连接已断开"),
        # Logins
        (r"too many failed logins", "登录失败次数过多"),
        (r"the account is switched off", "账户已停用"),
        (r"unknown account or wrong password", "没有这个账户，或密码错误"),
        (r"unknown account", "没有这个账户"),
        (r"wrong password", "密码错误"),
        (r"the accounts refuse this login", "账户库拒绝此次登录"),
        (r"the message is too long", "登录数据太长"),
        (r"the channel has no client certificate that names an account", "通讯链路没有写明账户的客户端证书"),
        (r"the name in the client certificate cannot be prepared: (.*)", "客户端证书中的名称无法使用：{0}"),
        (r"the (?:authorisation )?name cannot be prepared: (.*)", "用户名无法使用：{0}"),
        (r"the name or password cannot be prepared: (.*)", "用户名或密码无法使用：{0}"),
        (r"the name or the password is empty", "用户名或密码为空"),
        (r"it may not act as another account", "不可代表其他账户"),
        (r"the token is for (.*)", "令牌属于 {0}"),
        (r"the token is not valid", "令牌无效"),
        (r"the nonce is not the one of this exchange", "nonce 不是本次登录的"),
        (r"the proof is bound to another channel", "证明绑定在另一条通讯链路上"),
        (
            r"the client did not see that -PLUS was offered; .*",
            "客户端没有看到本机提供 -PLUS；机制列表可能在途中被更改",
        ),
        (r"the name is not UTF-8|the authorisation name is not UTF-8", "用户名不是 UTF-8"),
        (r"a name or password is not UTF-8", "用户名或密码不是 UTF-8"),
        (r"the message is not UTF-8", "登录数据不是 UTF-8"),
        (r"PLAIN is authorisation name, .*", "PLAIN 的格式是：授权名、NUL、用户名、NUL、密码"),
        (r"CRAM-MD5 answers with .*", "CRAM-MD5 应答的格式是：用户名、空格、32 个十六进制数字"),
        (r"(\S+) has no initial response", "{0} 没有初始应答"),
        (r"OAUTHBEARER begins with .*", "OAUTHBEARER 须以 “n,a=用户名,” 或 “n,,” 开头"),
        (r"XOAUTH2 begins with .*", "XOAUTH2 须以 user=用户名 开头"),
        (r"(\S+) ends with two octets 01", "{0} 须以两个字节 01 结尾"),
        (r"(\S+) has fields of the form name=value, each once", "{0} 的各字段写作 name=value，不可重复"),
        (r"(\S+) needs the field auth=Bearer token", "{0} 须有字段 auth=Bearer 和令牌"),
        (r"the client's (first|final) SCRAM message", "客户端的 SCRAM 数据（{0}）"),
        (r"a name in the client's first SCRAM message", "客户端的 SCRAM 数据（first）中的用户名"),
        (
            r"a channel binding is asked for with -PLUS, and only with it",
            "-PLUS 须绑定通讯链路，没有 -PLUS 则不可绑定",
        ),
        (r"channel binding (.*) is not known here", "此处没有通讯链路绑定方式 {0}"),
        (r"XCLIENT LOGIN", "XCLIENT 写明的账户不可使用"),
        (r"the handler refused the login", "处理函数拒绝此次登录"),
    )
)
#: A refusal by message authentication, with the reason of the method.
_JUDGED: Final = re.compile(r"(spf|dmarc) (fail|temperror|permerror): (.*)", re.DOTALL)


def chinese_note(note: str) -> str:
    """The note in Chinese; a reply, and what no row matches, is given back unchanged."""
    if _REPLY.match(note):
        return note
    if (judged := _JUDGED.fullmatch(note)) is not None:
        return f"{judged[1].upper()} 结果为 {judged[2]}：{chinese_auth_reason(judged[3])}"
    for pattern, text in _ROWS:
        if (found := pattern.fullmatch(note)) is not None:
            return text.format(*(chinese_note(group or "") for group in found.groups()))
    return chinese_reason(note)
