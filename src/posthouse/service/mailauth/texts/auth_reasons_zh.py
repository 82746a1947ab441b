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
        (r"no domain is given: neither the sender nor HELO names one", "没有可查的域名：发件人和 HELO 中都没有"),
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
        (r"the header section is too long to be judged", "邮件头过长，无法判断"),
        (r"the signature was made (\d+) s in the future .*", "签名的时间在 {0} 秒之后的将来"),
        (r"the key of (\S+) is not for email: .*", "{0} 的密钥不是用于电子邮件的"),
        (r"the key of (\S+) does not allow (\S+): .*", "{0} 的密钥不允许使用 {1}"),
        (r"the key of (\S+) is of type (.+?), and the signature says (\S+)", "{0} 的密钥类型是 {1}，而签名写的是 {2}"),
        (r"the key of (\S+) is unusable: (.*)", "{0} 的密钥不可用：{1}"),
        (r"the key allows no subdomain of d= in i= .*", "密钥不允许 i= 使用 d= 的子域"),
        (
            r"the RSA key of (\S+) has (\d+) bits, and at least (\d+) are needed.*",
            "{0} 的 RSA 密钥只有 {1} 位，至少需要 {2} 位",
        ),
        (r"the last (\d+) octets of the body are not signed .*", "邮件体的最后 {0} 字节不在签名之内（l=）"),
        (r"l=(\d+) is more than the (\d+) octets of the canonical body", "l={0} 超过了邮件体的 {1} 字节"),
        (r"the signature is of version (.+?), and 1 is the only one", "签名的版本是 {0}，而只有版本 1"),
        (r"the signature has no (\S+) tag, which is required", "签名缺少必需的标记 {0}"),
        (r"the signature is malformed(?:: .*)?", "签名的格式有误"),
        (r"the key is not in the DNS: .*", "签名说密钥不在 DNS 中（q=）"),
        (r"x= \((\d+)\) is not later than t= \((\d+)\)", "签名的失效时间 x={0} 不晚于签名时间 t={1}"),
        (
            r"the domain of i= \((.*)\) is not that of d= \((.*)\), nor below it",
            "i= 的域 {0} 既不是 d= 的域 {1}，也不在其下",
        ),
        (r"selector and domain make a name longer than 253 octets", "选择符与域合起来超过 253 字节"),
        (r"([a-z]+)=(?:.*?) is not known; known are (\S+) and (\S+)", "{0}= 的值不认识；认识的是 {1} 和 {2}"),
        (r"([a-z]+)=(?:.*?) is not known; known are (\S+)", "{0}= 的值不认识；认识的是 {1}"),
        (r"([a-z]+)=(?:.*?) is no algorithm", "{0}= 的值不是算法"),
        (r"([a-z]+)=(?:.*?) is no domain name", "{0}= 的值不是域名"),
        (r"([a-z]+)=(?:.*?) is no selector", "{0}= 的值不是选择符"),
        (r"([a-z]+)=(?:.*?) is no length: .*", "{0}= 的值不是长度"),
        (r"([a-z]+)=(?:.*?) is no time: .*", "{0}= 的值不是时间"),
        (r"([a-z]+)=(?:.*?) is no address: .*", "{0}= 的值不是地址"),
        (r"([a-z]+)=(?:.*?) is not in quoted-printable", "{0}= 的值不是 quoted-printable 编码"),
        (r"([a-z]+)=(?:.*?) is not known; the words of tags have small letters", "{0}= 的值不认识；标记中的词须小写"),
        (r"([a-z]+)= is no base64 text: .*", "{0}= 不是 base64 文本"),
        (r"([a-z]+)= holds (\d+) octets, and SHA-256 has 32", "{0}= 有 {1} 字节，而 SHA-256 是 32 字节"),
        (r"([a-z]+)= has more than (\d+) names", "{0}= 中的名称多于 {1} 个"),
        (r"([a-z]+)= holds (.*), which is no field name", "{0}= 中的 {1} 不是字段名"),
        (r"([a-z]+)= is longer than (\d+) characters", "{0}= 超过 {1} 个字符"),
        (r"([a-z]+)= holds a control character", "{0}= 中有控制字符"),
        (r"([a-z]+)= is malformed: .*", "{0}= 的格式有误"),
        (r"the message has (\d+) signatures, and none may be looked at", "邮件有 {0} 个签名，按设置一个也不看"),
        # ARC (mailauth.arc)
        (r"the chain has more than (\d+) sets", "ARC 链多于 {0} 组"),
        (r"an (\S+) field has no valid instance .*", "有一个 {0} 字段没有有效的序号"),
        (r"there are two (\S+) fields with i=(\d+)", "有两个 i={1} 的 {0} 字段"),
        (r"the set i=(\d+) has no (\S+) field", "第 {0} 组没有 {1} 字段"),
        (r"the newest seal says that the chain was broken before it .*", "最近的封签写明，在它之前 ARC 链已断"),
        (r"the (\S+) of set i=(\d+): (.*)", "第 {1} 组的 {0}：{2}"),
        (r"the ARC-Seal has an h= tag, which is not allowed", "ARC-Seal 不许有 h="),
        (r"the ARC-Seal has no (\S+) tag, which is required", "ARC-Seal 缺少必需的标记 {0}"),
        (r"h= names (\S+), which ARC-Message-Signature must not sign", "h= 中有 ARC-Message-Signature 不许签的 {0}"),
        (r"cv=(\S+), and the set i=(\d+) must have cv=(.*)", "第 {1} 组须为 cv={2}，却是 cv={0}"),
        (r"it has expired .*", "它已过期"),
        (r"it was made in the future .*", "它的时间在将来"),
        (r"it signs a part of the body, and is not the newest one", "它只签了邮件体的一部分，而又不是最近的一组"),
        (r"l=(\d+) is more than the body has", "l={0} 超过了邮件体的长度"),
        (r"the body is not the one that was signed", "邮件体不是签名时的那个"),
        (r"it does not verify: .*", "验证不符：它所签的内容被改动过，或者密钥不对"),
        (r"the message has no ARC .*", "邮件没有 ARC 链"),
        (r"a valid chain of (\d+) sets?, the newest sealed by (\S+)", "有效的 ARC 链，共 {0} 组，最近由 {1} 封缄"),
        # DMARC (mailauth.dmarc.evaluation)
        (r"there is no DMARC policy for (\S+)", "{0} 没有 DMARC 策略"),
        (
            r"without the address of the sending host \(--ip\) it cannot be judged: .* aligned with (\S+)",
            "不给出发送主机的地址（--ip）就无法判断：没有与 {0} 对齐的域通过 DKIM",
        ),
        (
            r"without the sender \(--from\) it cannot be judged: .* aligned with (\S+)",
            "不给出发件人（--from）就无法判断：没有与 {0} 对齐的域通过 DKIM",
        ),
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
        (r"it cannot be told whether (\S+) exists", "无法确定 {0} 是否存在"),
        (r"(.+) and (SPF|DKIM) passed for (\S+), aligned with (\S+)", "{0}、{2} 通过 {1}，与 {3} 相符"),
        (r"(SPF|DKIM) passed for (\S+)", "{1} 通过 {0}"),
        (r"(.+) and (SPF|DKIM) passed for (\S+)", "{0}、{2} 通过 {1}"),
        (r"the author's domain is no domain name", "作者的域不是域名"),
        (r"the author's domain is no valid international domain name", "作者的域不是有效的国际化域名"),
        (r"the domain in From is no valid international domain name", "From 中的域不是有效的国际化域名"),
        (r"the header section is longer than (\S+) octets", "邮件头超过 {0} 字节"),
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
