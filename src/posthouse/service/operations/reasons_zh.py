"""Chinese texts of the reasons that routing, lookups, site health and retries give in English.

Each row has the pattern of one English reason and its Chinese form, in which ``{0}`` is the first group.  What no row
matches is shown as it is: rows of the configuration, and the texts of peers and of the DNS.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["chinese_reason"]

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
        (r"it asked for a pause, refused sessions or did not answer", "对方要求暂停、拒绝会话或没有应答"),
        (
            r"attempt (\d+) did not succeed; the wait doubles from (.*) to at most (.*), less a random part",
            "第 {0} 次尝试没有成功；间隔从 {1}起逐次加倍，最长 {2}，再随机缩短一些",
        ),
        (
            r"attempt (\d+) may have succeeded, and each .* the wait is longer, from (.*) to at most (.*), less a .*",
            "第 {0} 次尝试可能已经成功，每次重试都可能多出一份副本；因此间隔较长，从 {1}起，最长 {2}，再随机缩短一些",
        ),
        (r"the other side asked for (.*)", "对方要求等待 {0}"),
        (r"no more attempts: the message is older than (.*)", "不再尝试：邮件已超过 {0}"),
        (r"no more attempts: the message will soon be (.*) old", "不再尝试：邮件很快就满 {0}"),
        (r"the last attempt: the message will be (.*) old then", "最后一次尝试：届时邮件已满 {0}"),
        (r"([\d.]+) ms", "{0} 毫秒"),
        (r"([\d.]+) seconds?", "{0} 秒"),
        (r"([\d.]+) minutes?", "{0} 分钟"),
        (r"([\d.]+) hours?", "{0} 小时"),
        (r"([\d.]+) days?", "{0} 天"),
    )
)


def chinese_reason(reason: str) -> str:
    """The reason in Chinese; a reason that no row matches is given back unchanged."""
    for pattern, text in _REASONS:
        found = pattern.fullmatch(reason)
        if found is not None:
            return text.format(*(chinese_reason(group) for group in found.groups()))
    return reason
