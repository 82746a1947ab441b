"""Chinese texts of the reasons that SPF, DKIM, ARC and DMARC give in English.

Each row has the pattern of one English reason and its Chinese form, in which ``{0}`` is the first group; a group is
itself translated if a row fits it.  What no row matches is shown as it is: names, and the rarer faults of a signature.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["chinese_auth_reason"]

_LONGEST: Final = 1000  # characters of a reason that is looked at

_REASONS: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        # SPF (mailauth.spf.check_host)
        (r"(\S+) in the SPF record of (\S+) matches (\S+)", "{1} 的 SPF 记录中的 {0} 与 {2} 相符"),
        (r"no term in the SPF record of (\S+) matches (\S+)", "{0} 的 SPF 记录中没有一项与 {1} 相符"),
        (r"(\S+) publishes no SPF record", "{0} 没有发布 SPF 记录"),
        (r"(\S+) does not exist", "{0} 不存在"),
        (r"'(.*)' is no domain name with two labels or more", "“{0}”不是含两段以上的域名"),
        (r"(\S+) publishes (\d+) SPF records; one is allowed", "{0} 发布了 {1} 条 SPF 记录，只允许一条"),
        (r"the SPF record of (\S+) has a syntax error in '(.*?)': .*", "{0} 的 SPF 记录中，“{1}”有语法错误"),
        (r"(\S+) in the SPF record of (\S+) leads nowhere: (.*)", "{1} 的 SPF 记录中，{0} 没有着落：{2}"),
        (
            r"(\S+) in the SPF record of (\S+) is one term with DNS look-ups too many: (\d+) are allowed",
            "{1} 的 SPF 记录中，{0} 使 DNS 查询超过了 {2} 次的上限",
        ),
        (
            r"(\S+) in the SPF record of (\S+) finds no record of (\S+), and (\d+) terms .*",
            "{1} 的 SPF 记录中，{0} 查不到 {2} 的记录；这样的项最多允许 {3} 个",
        ),
        (
            r"(\S+) in the SPF record of (\S+) finds (\d+) MX records: (\d+) are allowed",
            "{1} 的 SPF 记录中，{0} 查到 {2} 条 MX 记录，最多允许 {3} 条",
        ),
        # DKIM (mailauth.dkim)
        (r"the message has no DKIM signature", "邮件没有 DKIM 签名"),
        (r"signed by (\S+) with a (\d+)-bit (\S+) key(?:; (.*))?", "由 {0} 签名，密钥为 {1} 位 {2}"),
        (
            r"signed by (\S+) with a (\d+)-bit (\S+) key, but for the last (\d+) octets of the body .*",
            "由 {0} 签名，密钥为 {1} 位 {2}，但邮件体的最后 {3} 字节不在签名之内",
        ),
        (r"the body hash did not verify: .*", "邮件体的散列值不符：邮件体在签名之后被改动过"),
        (r"the signature did not verify: .*", "签名不符：已签名的邮件头被改动过，或者密钥不对"),
        (r"the signature expired (\d+) s ago .*", "签名已于 {0} 秒前过期"),
        (r"there is no key: (\S+) has no TXT record", "没有密钥：{0} 没有 TXT 记录"),
        (r"the key of (\S+) is revoked .*", "{0} 的密钥已被吊销"),
        (r"the key record of (\S+) is malformed: .*", "{0} 的密钥记录格式有误"),
        (r"the key record of (\S+) could not be fetched: (.*)", "无法取得 {0} 的密钥记录：{1}"),
        (r"the From field is not signed: .*", "邮件头 From 不在签名之内"),
        (r"a=(\S+): signatures with SHA-1 do not count any more .*", "签名算法 {0} 使用 SHA-1，已不再算数"),
        # ARC (mailauth.arc)
        (r"the message has no ARC .*", "邮件没有 ARC 链"),
        (r"a valid chain of (\d+) sets?, the newest sealed by (\S+)", "有效的 ARC 链，共 {0} 组，最近由 {1} 封缄"),
        # DMARC (mailauth.dmarc.evaluation)
        (r"there is no DMARC policy for (\S+)", "{0} 没有 DMARC 策略"),
        (r"neither SPF nor DKIM passed for a domain that is aligned with (\S+)", "没有与 {0} 相符的域通过 SPF 或 DKIM"),
        (
            r"(SPF|DKIM) passed for (\S+) and (SPF|DKIM) passed for (\S+), aligned with (\S+)",
            "{1} 通过 {0}，{3} 通过 {2}，与 {4} 相符",
        ),
        (r"(SPF|DKIM) passed for (\S+), aligned with (\S+)", "{1} 通过 {0}，与 {2} 相符"),
        (r"(SPF|DKIM) had a temporary error for (\S+), aligned with (\S+)", "与 {2} 相符的 {1} 暂时无法验证 {0}"),
        (
            r"the DMARC record of (\S+) has no valid policy and asks for no reports, .*",
            "{0} 的 DMARC 记录没有有效的策略，不起作用",
        ),
        (r"the author's domain is an address literal, .*", "作者的域是 IP 地址，不会有策略"),
        (r"the author cannot be told: (.*)", "无法确定作者：{0}"),
        (r"the message has no From field", "邮件没有邮件头 From"),
        (r"the message has two From fields", "邮件有两个邮件头 From"),
        (r"From has more than (\d+) domains", "From 中的域多于 {0} 个"),
        (r"of (\d+) author domains: (.*)", "作者的域共 {0} 个：{1}"),
        # The DNS (net.resolver), and overrides (service.mailauth.judgement)
        (r"the (\S+) record of (\S+) was not had: .*", "未能查到 {1} 的 {0} 记录"),
        (
            r"no DNS server answered in time for the (\S+) record of (\S+)",
            "没有 DNS 服务器及时答复对 {1} 的 {0} 记录的查询",
        ),
        (r"every DNS server failed for the (\S+) record of (\S+): .*", "查询 {1} 的 {0} 记录时，DNS 服务器都出错"),
        (r"exception for (\S+): (.*)", "{0} 有例外：{1}"),
        (r"sealed by (\S+), which is trusted and has seen it pass", "受信任的 {0} 已封缄，并见证它曾通过"),
        # Several in one
        (r"(.+); (exception for .*|sealed by .*)", "{0}；{1}"),
        (r"([^\s:]+\.[^\s:]+): (.+)", "{0}：{1}"),
    )
)


def chinese_auth_reason(reason: str) -> str:
    """The reason in Chinese; a reason that no row matches is given back unchanged."""
    if len(reason) > _LONGEST:
        return reason
    for pattern, text in _REASONS:
        found = pattern.fullmatch(reason)
        if found is not None:
            return text.format(*(chinese_auth_reason(group) if group else "" for group in found.groups()))
    return reason
