"""Chinese texts of the reasons that routing, lookups, site health and retries give in English.

Each row has the pattern of one English reason and its Chinese form, in which ``{0}`` is the first group.  What no row
matches is shown as it is: rows of the configuration, and the texts of peers and of the DNS.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["chinese_own_reply", "chinese_reason", "is_own_reply"]

#: Texts of the replies that this side makes where no host has given one.
_OWN: Final = {
    "no host answered": "没有主机应答",
    "the connection was lost before the host had answered": "主机应答之前连接中断",
    "the connection was lost before the host had confirmed the message": "主机确认收到邮件之前连接中断",
    "the host broke the protocol": "主机违反了协议",
    "the lease was lost": "失去了租约",
    "mail would loop back to this host": "邮件会回到本机",
    "the route of this mail is not usable": "这封邮件的路由不可用",
    "the route is not usable": "路由不可用",
    "the delivery of this mail is not usable": "这封邮件的投递方式不可用",
    "local error in delivery": "投递时本机出错",
    "local error in processing": "处理时本机出错",
    "delivery took too long": "投递超时",
    "the route requires TLS, and the host does not begin it": "路由要求 TLS，而该主机不启用",
    "the route requires TLS, and it could not be set up with the host": "路由要求 TLS，而与该主机无法建立",
    "the host's certificate does not prove its name": "主机的证书不能证明它的名称",
    "the host did not accept the login of this route": "主机不接受本路由的登录",
    "the host offers no way to log in that this route may use": "主机提供的登录方式，本路由都不能用",
    "the sender asked for REQUIRETLS, and no mail exchanger can be proved to be right": (
        "发件人要求 REQUIRETLS，而邮件交换主机的身份无法证明"
    ),
    "the sender asked for REQUIRETLS, and the host has no TLS that proves its name": (
        "发件人要求 REQUIRETLS，而该主机没有能证明其名称的 TLS"
    ),
    "mail system incorrectly configured": "邮件系统配置有误",
    "mail system full": "邮件系统已满",
    "mail system busy": "邮件系统繁忙",
    "mailbox full": "邮箱已满",
    "mailbox not accessible": "无法访问邮箱",
    "no mailbox can have this address": "不会有这个地址的邮箱",
    "the site is suspended for a while, as it did not answer": "该主机没有应答，已暂停连接",
    "the site is suspended for a while": "已暂停连接该主机",
    "removed from the queue by an operator": "管理员已从队列中移除",
    "kept in the mailbox": "已存入邮箱",
    "delivered to the Maildir": "已存入 Maildir",
    "delivered": "已投递",
    "discarded": "已丢弃",
}
_OWN_REPLY: Final = rf"[245]\d\d [245]\.\d+\.\d+ (?:{'|'.join(map(re.escape, _OWN))})"
#: A reply; 500 ms, and other spans, are none.
_REPLY: Final = re.compile(r"([245]\d\d(?: [245]\.\d+\.\d+)?) (?!(?:ms|seconds|minutes|hours|days)\b)(.*)", re.DOTALL)
#: A reason with the reply of this side behind it, as the queue keeps both; what a host *said* is its own.
_WITH_REPLY: Final = re.compile(rf"(.+)(?<! said): ({_OWN_REPLY})", re.DOTALL)

_REASONS: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r"our own host name: its postmaster", "本机的主机名，由其 postmaster 接收"),
        (
            r"no \[\[route\]\] applies: the mail exchangers of the domain",
            "没有适用的 [[route]]，发往该域的邮件交换主机",
        ),
        (r"an operator sent it to (.*)", "管理员把它改发至 {0}"),
        (
            r'no rule says where mail for "(.*)" goes; .*',
            "没有规则说明发往“{0}”的邮件去哪里；请添加 [[domain]] 或 [[route]]",
        ),
        (r"srs: the SRS address does not have its four parts", "srs：SRS 地址不是由四部分组成"),
        (r"srs: the SRS1 address does not have its three parts", "srs：SRS1 地址不是由三部分组成"),
        (r"srs: the hash of the (SRS1?) address is not ours", "srs：{0} 地址中的散列值不是本机所写"),
        (r"srs: the time of the SRS address cannot be read", "srs：SRS 地址中的时间无法识别"),
        (r"srs: the SRS address is older than (\d+) days", "srs：SRS 地址写成已超过 {0} 天"),
        (r"batv: the recipient of the report has no signature", "batv：报告的收件人没有签名"),
        (r"batv: the signature of the report's recipient is not ours", "batv：报告收件人的签名不是本机所写"),
        (
            r"batv: the signature of the report's recipient is older than (\d+) days",
            "batv：报告收件人的签名已超过 {0} 天",
        ),
        (r"no route to (\S+)", "没有通往 {0} 的路由"),
        (r"not looked up", "未查询"),
        (r"MX of (\S+): (.*)", "{0} 的 MX：{1}"),
        (r"(\S+) has no MX; its own address", "{0} 没有 MX，用它自身的地址"),
        (r"the address (\S+) itself", "地址 {0} 本身"),
        (r"the configured host (\S+)", "配置指定的主机 {0}"),
        (r"the socket (\S+)", "套接字 {0}"),
        (r"the domain (\S+) does not exist", "域名 {0} 不存在"),
        (r"the domain (\S+) takes no mail \(null MX\)", "域名 {0} 不接收邮件（null MX）"),
        (
            r"no mail exchanger of (\S+) has an address other than those of loopback, .* \((.*)\)",
            "{0} 的邮件交换主机只有环回地址，未经配置不会向那里投递（{1}）",
        ),
        (r"(\S+) is an address of loopback, .*", "{0} 是环回地址，未经配置不会向那里投递"),
        (r"no mail exchanger of (\S+) has an address \((.*)\)", "{0} 的邮件交换主机都没有地址（{1}）"),
        (r"mail for (\S+) would come back to this host \((.*)\)", "发往 {0} 的邮件会回到本机（{1}）"),
        (r"(\S+) is this host itself \((.*)\)", "{0} 就是本机（{1}）"),
        (r"(\S+) is not an address that mail can be sent to", "{0} 不是可以投递邮件的地址"),
        (r"the DNS gave no answer for (\S+?)(?:: .*)?", "DNS 没有答复对 {0} 的查询"),
        (r'the host "(.*)" of a route does not exist; .*', "路由指定的主机“{0}”不存在；请更正路由"),
        (r'the host "(.*)" of a route has no address; .*', "路由指定的主机“{0}”没有地址；请更正路由"),
        (r"(\d+) connections in a row could not be opened", "连续 {0} 次无法建立连接"),
        (r"(\d+) connections in a row could not be opened: (.*)", "连续 {0} 次无法建立连接：{1}"),
        (r"it asked for a pause, refused sessions or did not answer", "对方要求暂停、拒绝会话或没有应答"),
        (
            r"attempt (\d+) did not succeed; the wait doubles from (.*) to at most (.*), less a random part",
            "第 {0} 次尝试没有成功；间隔从 {1}起逐次加倍，最长 {2}，再随机缩短一些",
        ),
        (
            r"the message may be younger than the calendar says: .*",
            "邮件也许没有日历显示的那么旧：日历被调整过，或者守护进程刚刚启动",
        ),
        (r"(\S+) said: (.*) \(in reply to (.*)\)", "{0} 的应答：{1}（对 {2} 的应答）"),
        (r"(\S+) said: (.*)", "{0} 的应答：{1}"),
        (r"the end of the message", "邮件内容结束"),
        (r"the connection", "连接"),
        (r"gave up after (\d+) attempts in ([\d.]+) days; the last: (.*)", "{1} 天内尝试 {0} 次后放弃；最后一次：{2}"),
        (
            r'maildir_owner = "(.*)" names a user or group that this system does not have; .*',
            "maildir_owner 设为“{0}”，但系统中没有该用户或用户组；请创建它或更正该设置",
        ),
        (
            r'maildir_owner = "(.*)" needs the daemon to run as root, or as that user; .*',
            "maildir_owner 设为“{0}”，因此服务须以 root 或该用户身份运行；请这样启动，或去掉该设置",
        ),
        (
            r"(.*) is no directory, or a symbolic link where none is followed \(.*\); .*",
            "{0} 不是目录，或是此处不允许的符号链接；请改为目录",
        ),
        (r"no space left on the device of (.*); free some", "{0} 所在设备空间不足；请清理"),
        (r"the quota of (.*) is used up; .*", "{0} 的配额已用完；请提高配额或删除邮件"),
        (r"(.*) cannot be written \((.*)\); mend its permissions", "无法写入 {0}（{1}）；请修正权限"),
        (r"delivery to (.*) failed: (.*)", "投递到 {0} 失败：{1}"),
        (r"the other side asked for (.*)", "对方要求等待 {0}"),
        (r"no more attempts: the message is older than (.*)", "不再尝试：邮件已超过 {0}"),
        (r"no more attempts: the message will soon be (.*) old", "不再尝试：邮件很快就满 {0}"),
        (r"the last attempt: the message will be (.*) old then", "最后一次尝试：届时邮件已满 {0}"),
        (
            r"attempt (\d+) may have succeeded, and each further one may make a copy; so the wait is longer, (.*)",
            "第 {0} 次尝试也许已经成功，重试可能产生重复的邮件，所以间隔更长：{1}",
        ),
        (r"from (.*) to at most (.*), less a random part", "从 {0}起，最长 {1}，再随机缩短一些"),
        # Results of attempts
        (r"tried (MX of \S+: [^:]+|[^:]+): (.*)", "已尝试{0}：{1}"),
        (r"the configured host", "配置指定的主机"),
        (r"the address itself", "该地址本身"),
        (r"the socket", "套接字"),
        (r"its own address", "它自身的地址"),
        (r"(\S+) refused the connection", "{0} 拒绝连接"),
        (r"(\S+) did not answer in time", "{0} 没有及时应答"),
        (
            r"(\S+) cannot be reached: this machine has no route to its network",
            "无法到达 {0}：本机没有通往该网络的路由",
        ),
        (r"(\S+) cannot be reached: no route to the host", "无法到达 {0}：没有通往该主机的路由"),
        (r"(\S+) cannot be reached: (.*)", "无法到达 {0}：{1}"),
        (r"(\S+) reset the connection while it was opened", "建立连接时 {0} 将其重置"),
        (r"(\S+) reset the connection", "{0} 重置了连接"),
        (r"(\S+) does not exist: nothing listens there", "{0} 不存在：没有程序在那里监听"),
        (r"(\S+) ended the connection at once \(it may be too busy\)", "{0} 立即结束了连接（也许太忙）"),
        (r"(\S+) stopped answering", "{0} 不再应答"),
        (r"(\S+) refused the session: (.*)", "{0} 拒绝会话：{1}"),
        (r"(\S+) refused (EHLO|HELO|LHLO): (.*)", "{0} 拒绝 {1}：{2}"),
        (r"(\S+) said:? (\d{3}.*)", "{0} 的应答：{1}"),
        (r"no answer to (.*) within ([\d.]+) seconds", "{1} 秒内没有得到对 {0} 的应答"),
        (r"the peer closed the connection", "对方关闭了连接"),
        (r"the connection was lost", "连接中断"),
        (r"(.*) \(talking to (.*)\)", "{0}（对方是 {1}）"),
        (
            r"(.*) after the whole message had been sent to (\S+); it may have arrived",
            "邮件全部发给 {1} 之后，{0}；它也许已经到达",
        ),
        (r"(.*); trying again, which may make a second copy", "{0}；将重试，可能产生重复的邮件"),
        (r"this session was kept and had ended meanwhile; a new one is opened", "保留的会话已经结束，另开新的会话"),
        (r"not attempted: (\S+) is suspended for a while, as (.*)", "没有尝试：已暂停连接 {0}：{1}"),
        (r"ended, as it took longer than (\d+) seconds", "超过 {0} 秒，已中止"),
        (r"gave up after (\d+) attempts? in ([\d.]+) days; the last: (.*)", "{1} 天内尝试 {0} 次后放弃；最后一次：{2}"),
        (r"gave up after (\d+) attempts; the last: (.*)", "尝试 {0} 次后放弃；最后一次：{1}"),
        (r"not sent to (\S+), which cannot take it as it is: (.*)", "没有发给 {0}，因为它不能原样接收：{1}"),
        (r"not sent to (\S+): (.*)", "没有发给 {0}：{1}"),
        (
            r"the message has (\d+) octets and this host takes at most (\d+) \(SIZE\)",
            "邮件有 {0} 字节，而该主机最多接收 {1} 字节（SIZE）",
        ),
        (r"an address or the header needs SMTPUTF8, which .*", "地址或邮件头需要 SMTPUTF8，而该主机不提供"),
        (r"the address needs SMTPUTF8, which .*", "地址需要 SMTPUTF8，而该主机不提供"),
        (r"the content has 8-bit octets and .*", "内容含 8 位字节，而该主机不提供 8BITMIME"),
        (r"the content is binary and .*", "内容是二进制，而该主机不提供 BINARYMIME"),
        (r"not sent: the address (\S+) cannot be written in SMTP: .*", "没有发送：地址 {0} 在 SMTP 中无法书写"),
        (r"discarded, as the configuration says", "按配置丢弃"),
        (r"kept in the mailbox (\S+)", "存入邮箱 {0}"),
        (r"converted, because this host does not offer (\S+)", "因该主机不提供 {0} 而转换了编码"),
        (r"(converted, .*?); (signed again by .*|this breaks .*)", "{0}；{1}"),
        (r"(signed again by .*?); (this breaks .*)", "{0}；{1}"),
        (r"signed again by (.*)", "{0} 重新签了名"),
        (r"this breaks the signatures of (.*) and others", "{0} 等的签名因此失效"),
        (r"this breaks the signatures of (.*)", "{0} 的签名因此失效"),
        (r"delivered as (\S+)", "已存为 {0}"),
        (r"delivered as (\S+) in the folder (.+), because it is quarantined", "已存为 {0}，因被隔离而放入文件夹 {1}"),
        (r"the handler said: (.*)", "处理函数的答复：{0}"),
        (r"the handler crashed: (.*)", "处理函数出错：{0}"),
        (r"the handler took longer than (\d+) seconds", "处理函数超过 {0} 秒仍未完成"),
        (r"a local error ended the attempt; the log has it", "本机出错，尝试中止；日志里有记录"),
        (r"the lease was lost before the message was complete; .*", "邮件发完之前失去了租约；这次尝试没有投递任何内容"),
        (r"([\d.]+) ms", "{0} 毫秒"),
        (r"([\d.]+) seconds?", "{0} 秒"),
        (r"([\d.]+) minutes?", "{0} 分钟"),
        (r"([\d.]+) hours?", "{0} 小时"),
        (r"([\d.]+) days?", "{0} 天"),
        # TLS and logins
        (r"in clear: (.*)", "未加密：{0}"),
        (r"certificate of (\S+|.+?), verified", "{0} 的证书，已验证"),
        (r"certificate of (\S+|.+?), not verified", "{0} 的证书，未验证"),
        (r"certificate of (\S+|.+?), not verified; (.*)", "{0} 的证书，未验证：{1}"),
        (r"the certificate was not verified", "证书未经验证"),
        (r"the certificate of (\S+) (is .*|expired .*|was .*|or .*|cannot .*)", "{0} 的证书不可接受：{1}"),
        (r"it (is for .*|is not .*|expired .*|is self-signed.*|was .*|or .*|cannot .*)", "{0}"),
        (r"is for no name at all, not for (\S+)", "它不含任何名称，而不是给 {0} 的"),
        (r"is for (.+), not for (\S+)", "它是给 {0} 的，不是给 {1} 的"),
        (r"is not for (\S+)", "它不是给 {0} 的"),
        (r"expired on (\S+)", "它已于 {0} 过期"),
        (r"is not valid before (\S+)", "它在 {0} 之前无效"),
        (r"is self-signed \(SHA-256 (\w+)\)", "它是自签名的（SHA-256 {0}）"),
        (r"is self-signed", "它是自签名的"),
        (r"was issued by (.+), which leads to no issuer that is trusted here", "它由 {0} 签发，本机不信任其签发者"),
        (r"or one that issued it has been revoked", "它或其上级签发者已被吊销"),
        (r"or one that issued it breaks a rule \((.*)\)", "它或其上级签发者违反了规则（{0}）"),
        (
            r"cannot be judged, because the revocation list of an issuer is missing",
            "无法判断，因为缺少某个签发者的吊销列表",
        ),
        (
            r"cannot be judged, because the revocation list of an issuer is not signed by it",
            "无法判断，因为某个签发者的吊销列表签名有误",
        ),
        (
            r"cannot be judged, because the revocation list of an issuer is not in force yet",
            "无法判断，因为某个签发者的吊销列表尚未生效",
        ),
        (
            r"cannot be judged, because the revocation list of an issuer is out of date",
            "无法判断，因为某个签发者的吊销列表已过期",
        ),
        (
            r"put the newest list of each issuer into the file or folder that ca names",
            "请把每个签发者的最新吊销列表放进 ca 所指的文件或目录",
        ),
        (r"its operator must have it issued again", "须由对方管理员重新签发"),
        (r"issued by (.+)", "签发者为 {0}"),
        (r"its operator must renew it", "须由对方管理员更新"),
        (r"compare the clocks of both machines", "请核对两台机器的时钟"),
        (r"name the host as its certificate does, or .*", "请按证书上的名称填写主机，或请对方管理员换用含该名称的证书"),
        (
            r"if it is the right one, trust (it|its issuer) with ca=FILE \(on the command line, --ca FILE\)",
            "如果它是对的，请用 ca（命令行上用 --ca）指定要信任的证书文件",
        ),
        (
            r"(\S+) does not offer STARTTLS, and this session must not go on in clear; .*",
            "{0} 不提供 STARTTLS，而本路由要求加密；途中可能有人删去了它",
        ),
        (r"(\S+) does not offer STARTTLS", "{0} 不提供 STARTTLS"),
        (r"(\S+) refused STARTTLS: (.*)", "{0} 拒绝 STARTTLS：{1}"),
        (
            r"the sender asked for REQUIRETLS, and no mail exchanger can be proved to be right; .*",
            "发件人要求 REQUIRETLS，而邮件交换主机的身份无法证明；可以用 [[route]] 指定一台主机",
        ),
        (r"the sender asked for REQUIRETLS, which this host does not offer", "发件人要求 REQUIRETLS，而该主机不提供"),
        (r"TLS failed: (.*)", "TLS 失败：{0}"),
        (r"the TLS handshake with (\S+) was not completed: (.*)", "与 {0} 的 TLS 握手没有完成：{1}"),
        (r"the TLS handshake was not over after ([\d.]+) s", "TLS 握手 {0} 秒内没有完成"),
        (r"(\S+) ended the connection during the TLS handshake", "{0} 在 TLS 握手期间结束了连接"),
        (r"the connection ended during the handshake", "连接在握手期间结束"),
        (r"(\S+) does not speak TLS here(?:; .*)?", "{0} 的这个端口不使用 TLS"),
        (r"(\S+) speaks none of our TLS versions .*", "{0} 不支持本机的 TLS 版本（1.2 和 1.3）"),
        (r"(\S+) offers only TLS versions before 1.2", "{0} 只支持 1.2 之前的 TLS 版本"),
        (r"(\S+) shares no cipher suite(?: or signature scheme)? with us", "{0} 与本机没有共同的加密套件"),
        (r"(\S+) asks for a client certificate, and none is configured", "{0} 要求客户端证书，而没有配置"),
        (r"(\S+) does not trust our certificate.*", "{0} 不信任我们的证书"),
        (r"(\S+) uses a Diffie-Hellman key that is too short", "{0} 的 Diffie-Hellman 密钥太短"),
        (r"the TLS connection with (\S+) broke: (.*)", "与 {0} 的 TLS 连接中断：{1}"),
        (
            r"(\S+) refused the login by (\S+): (.*); check (?:the name|the certificate).*",
            "{0} 拒绝以 {1} 登录：{2}；请检查用户名和密码",
        ),
        (r"(\S+) refused the login by (\S+): (.*)", "{0} 拒绝以 {1} 登录：{2}"),
        (r"no login at (\S+): (.*)", "无法登录 {0}：{1}"),
        (
            r"(\S+) wants a login or TLS: (.*); set user, .*",
            "{0} 要求登录或 TLS：{1}；请在该 [[route]] 中设置 user、password_file 和 tls",
        ),
        (
            r"password_file (\S+): the file cannot be read \((.*)\); .*",
            "无法读取 password_file {0}（{1}）；请让守护进程的用户可以读取",
        ),
        (r"password_file (\S+): the file has no password; .*", "password_file {0} 中没有密码；请写在第一行"),
        (r"password_env (\S+): the variable is not set; .*", "password_env {0} 指定的环境变量没有设置"),
        # Several in one: a host and what it did, and sentences in a row
        (r"([^\s:]+): (\S+ (?:refused|reset|cannot|did|does|ended|stopped|said) .*)", "{0}：{1}"),
        (r"(.+?); (.+)", "{0}；{1}"),
    )
)


def chinese_reason(reason: str) -> str:
    """The reason in Chinese; a reason that no row matches is given back unchanged."""
    if (both := _WITH_REPLY.fullmatch(reason)) is not None:
        return f"{chinese_reason(both[1])}：{chinese_own_reply(both[2])}"
    if _REPLY.fullmatch(reason) is not None:
        return _behind_reply(reason)
    for pattern, text in _REASONS:
        found = pattern.fullmatch(reason)
        if found is not None:
            return text.format(*(chinese_reason(group) for group in found.groups()))
    return reason


def is_own_reply(reply: str) -> bool:
    """Whether a reply is one of those that this side gives when it delivers by itself."""
    return re.fullmatch(_OWN_REPLY, reply) is not None


def chinese_own_reply(reply: str) -> str:
    """A reply of this side, which no host has given, with its text in Chinese."""
    found = _REPLY.fullmatch(reply)
    return reply if found is None else f"{found[1]} {_OWN.get(found[2]) or chinese_reason(found[2])}"


def _behind_reply(reply: str) -> str:
    """What a host has said, unchanged, with the reasons behind it, about other hosts, in Chinese."""
    pieces = reply.split("; ")
    reasons: list[str] = []
    while len(pieces) > 1 and (words := chinese_reason(pieces[-1])) != pieces[-1]:
        reasons.insert(0, words)
        pieces.pop()
    return "；".join(["; ".join(pieces), *reasons])
