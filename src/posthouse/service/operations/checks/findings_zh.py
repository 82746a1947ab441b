"""The findings of ``check domain`` and ``check message`` in Chinese, for the console.

Findings are sentences in English; each row has the pattern of one and its Chinese form.  A test asks for each sentence
that the checks can say.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason

__all__ = ["chinese_finding"]

_RESULTS: Final = {
    "pass": "通过", "fail": "不通过", "softfail": "很可能不通过", "neutral": "不作判断", "none": "无从验证",
    "policy": "不合要求", "temperror": "暂时无法验证", "permerror": "记录或签名有误",
}  # fmt: skip

_ROWS: Final = (
    # MX
    (r"(\S+) does not exist in the DNS\.", "DNS 中没有 {0}。"),
    (r"Check the spelling, or register it\.", "请检查拼写，或注册该域名。"),
    (r"the domain does not exist", "该域不存在"),
    (r"The null MX \(\.\) stands beside other MX records \(RFC 7505 §3\)\.",
     "空 MX（.）与其他 MX 记录并存（RFC 7505 §3）。"),
    (r"Remove one kind\.", "请删除其中一种。"),
    (r"No host of the MX records has an address: the domain gets no mail\.",
     "MX 记录中的主机都没有地址，该域收不到邮件。"),
    (r"Give one of them an A or AAAA record\.", "请给其中一台主机加上 A 或 AAAA 记录。"),
    (r"(\d+) MX records?", "{0} 条 MX 记录"),
    (r"(\S+) has no MX record, so its mail goes to its own address\.", "{0} 没有 MX 记录，邮件送往它自己的地址。"),
    (r"Publish an MX record; one for a domain without mail is 0 and a dot\.",
     "请发布 MX 记录；不收邮件的域写 0 和一个点。"),
    (r"no MX record; the domain's own address is used", "没有 MX 记录，使用该域自己的地址"),
    (r"(\S+) has neither MX nor address, so it receives no mail, and receivers may refuse its own\.",
     "{0} 既没有 MX 也没有地址，收不到邮件，它发出的邮件也可能被拒收。"),
    (r"Publish an MX record; this one says that the domain has no mail\.",
     "请发布 MX 记录；下面这条表示该域不收邮件。"),
    (r"no MX record and no address", "没有 MX 记录，也没有地址"),
    (r"the domain receives no mail \(null MX, RFC 7505\)", "该域不收邮件（空 MX，RFC 7505）"),
    (r"(\S+) in an MX record is an alias, which RFC 5321 §5\.1 forbids\.",
     "MX 记录中的 {0} 是别名，RFC 5321 §5.1 不允许。"),
    (r"Name (\S+) itself\.", "请直接写 {0}。"),
    (r"(\S+) in an MX record has no address\.", "MX 记录中的 {0} 没有地址。"),
    (r"Give it an A record, or remove the MX record\.", "请给它加上 A 记录，或删除这条 MX 记录。"),
    (r"The DNS gave no answer: (.+)\.", "DNS 没有应答：{0}。"),
    (r"Ask again later\.", "请稍后再查。"),
    (r"unknown: the DNS failed", "未知：DNS 查询失败"),
    # TLS
    (r"The answer for (.+) is not marked as signed, and TLSA records need DNSSEC\.",
     "{0} 的应答没有签名标记，而 TLSA 记录需要 DNSSEC。"),
    (r"Sign the zone, or ask a resolver that validates\.", "请给该区域签名，或使用能验证签名的解析器。"),
    (r"(\d+) TLSA records?", "{0} 条 TLSA 记录"),
    (r"no TLSA records: senders cannot demand this certificate by DANE",
     "没有 TLSA 记录：发送SMTP无法用 DANE 要求此证书"),
    (r"The MTA-STS record has no effect: it must be one, with an id of letters and digits \(RFC 8461\)\.",
     "MTA-STS 记录无效：只能有一条，且 id 由字母和数字组成（RFC 8461）。"),
    (r"Publish it in this form, with a new id whenever the policy changes\.",
     "请按此格式发布；每次修改策略都要换新的 id。"),
    (r"The policy was not fetched\.", "没有取回策略文件。"),
    (r"See that (\S+) names the MX hosts\.", "请确认 {0} 列出了各 MX 主机。"),
    (r"no record: senders may fall back to mail without TLS", "没有记录：发送SMTP可能退回到不加密的投递"),
    (r"a record", "有一条记录"),
    (r"no record", "没有记录"),
    (r"The TLS-RPT record has no effect: it must stand alone, with an address in rua= \(RFC 8460 §3\)\.",
     "TLS-RPT 记录无效：只能有一条，且 rua= 中要有地址（RFC 8460 §3）。"),
    (r"Publish it in this form\.", "请按此格式发布。"),
    (r"a record without effect", "记录无效"),
    (r"no record: senders tell nobody when TLS with the domain's hosts fails",
     "没有记录：与该域主机的 TLS 失败时，发送SMTP不会通知任何人"),
    # DKIM
    (r"DKIM keys have names \(selectors\) that the DNS does not list, and none was given\.",
     "DKIM 密钥由选择符命名，DNS 不提供列表，而这里没有给出选择符。"),
    (r"Name one with --selector; s= in the DKIM-Signature of a message says which\.",
     "请填写选择符；邮件 DKIM-Signature 中的 s= 就是它。"),
    (r"not looked at", "未检查"),
    (r"(\S+) has (\d+) TXT records, and receivers take any one\.", "{0} 有 {1} 条 TXT 记录，接收SMTP会任取一条。"),
    (r"Keep one\.", "请只保留一条。"),
    (r"The key (\S+) says that it is a test \(t=y\), so receivers may ignore it\.",
     "密钥 {0} 标明为测试（t=y），接收SMTP可能忽略它。"),
    (r"Remove t=y\.", "请删除 t=y。"),
    (r"Publish the record that posthouse dkim show prints\.", "请发布 posthouse dkim show 显示的记录。"),
    (r"The RSA key (\S+) has (\d+) bits, which is weak\.", "RSA 密钥 {0} 只有 {1} 位，强度不足。"),
    (r"Make one of 2048 bits: posthouse dkim rotate\.", "请换成 2048 位的密钥：posthouse dkim rotate。"),
    # DMARC
    (r"Keep one record\.", "请只保留一条记录。"),
    (r"(\S+) has no DMARC record: receivers are not told what to do with forged mail\.",
     "{0} 没有 DMARC 记录：接收SMTP不知道如何处理伪造的邮件。"),
    (r"Publish one that asks for reports; make it stricter when they show only your hosts\.",
     "请先发布一条只要求报告的记录；当报告中只有你的主机时，再逐步收紧。"),
    (r"Correct the record\.", "请更正该记录。"),
    (r"The policy is none: receivers deliver mail that only pretends to be the domain's\.",
     "策略为 none：冒用该域的邮件也会被投递。"),
    (r"When the reports show only your hosts, write p=quarantine, and later p=reject\.",
     "当报告中只有你的主机时，改为 p=quarantine，之后再改为 p=reject。"),
    (r"rua= is missing, so nobody reports what is sent in the domain's name\.",
     "缺少 rua=，没有人会报告以该域名义发送的邮件。"),
    (r"Add (rua=\S+)", "请加上 {0}"),
    (r"policy (\S+), inherited from (\S+)", "策略 {0}，继承自 {1}"),
    (r"policy (\S+)", "策略 {0}"),
    (r"Reports go to (\S+), which does not say that it takes them, so none will come\.",
     "报告发往 {0}，但它没有声明接收，因此不会有报告。"),
    (r"Have the owner of (\S+) publish this record\.", "请让 {0} 的管理者发布这条记录。"),
    # SPF
    (r"Correct it: (.+)\.", "请更正：{0}。"),
    (r"(\d+) of (\d+) keys found", "{1} 个选择符中找到 {0} 个密钥"),
    (r"(_dmarc\.\S+): (.+)\.", "{0}：{1}。"),
    (r"one record, (\d+) of (\d+) look-ups", "一条记录，查询 {0} 次（上限 {1} 次）"),
    (r"(\S+) publishes no SPF record, so any host may use it as the sender\.",
     "{0} 没有发布 SPF 记录，任何主机都可以冒用它发信。"),
    (r"Publish one that names the hosts which send for the domain; this one allows the hosts that receive its mail\.",
     "请发布一条记录，列出为该域发信的主机；下面这条允许接收其邮件的主机。"),
    (r"Publish one that names the hosts which send for the domain; this one allows no host\.",
     "请发布一条记录，列出为该域发信的主机；下面这条不允许任何主机。"),
    (r"(\S+) publishes (\d+) SPF records, so each check is a permanent error\.",
     "{0} 发布了 {1} 条 SPF 记录，每次检查都是永久错误。"),
    (r"Join their terms in one record, and remove the others\.", "请把各项合并为一条记录，删除其余的。"),
    (r"permanent error: several records", "永久错误：有多条记录"),
    (r"The SPF record has a syntax error in (.+), so each check is a permanent error\.",
     "SPF 记录在 {0} 处有语法错误，每次检查都是永久错误。"),
    (r"permanent error: syntax", "永久错误：语法"),
    (r"(\S+) in the record of (\S+) finds (\d+) MX records, and (\d+) are allowed: each check .+",
     "{1} 的记录中，{0} 查到 {2} 条 MX 记录，上限为 {3} 条：检查到此处即为永久错误。"),
    (r"Name the hosts with ip4 and ip6 in place of mx\.", "请用 ip4 和 ip6 写明主机，不用 mx。"),
    (r"(\S+) in the record of (\S+) leads back to (\S+): checks end with a permanent error\.",
     "{1} 的记录中，{0} 又指回 {2}：检查以永久错误结束。"),
    (r"Remove (\S+), or ask the owner of (\S+) to publish a right record\.",
     "请删除 {0}，或请 {1} 的管理者发布正确的记录。"),
    (r"Remove (.+)\.", "请删除 {0}。"),
    (r"The record of (\S+) was not had: (.+)\.", "没有取得 {0} 的记录：{1}。"),
    (r"(\S+) in the record of (\S+) is a permanent error: (.+)\.", "{1} 的记录中，{0} 是永久错误：{2}。"),
    (r"(\S+) in the record of (\S+) finds no record of (\S+); (\d+) such terms are allowed\.",
     "{1} 的记录中，{0} 查不到 {2} 的记录；这样的项最多 {3} 个。"),
    (r"The record needs (more than )?(\d+) look-ups with its includes, and (\d+) are allowed: .+",
     "连同 include，该记录需要 {1} 次查询，上限为 {2} 次：排在后面的主机检查结果为永久错误。"),
    (r"Remove includes of services that no longer send, and name fixed hosts with ip4 and ip6\.",
     "请删除不再使用的服务的 include，固定的主机用 ip4 和 ip6 写明。"),
    (r"The record needs (\d+) of (\d+) look-ups; a service that adds one more will break it\.",
     "该记录已用 {0} 次查询（上限 {1} 次），再加一项服务就会出错。"),
    (r"Remove what no longer sends, and name fixed hosts with ip4 and ip6\.",
     "请删除不再发信的项，固定的主机用 ip4 和 ip6 写明。"),
    (r"(\d+) terms find nothing, and (\d+) are allowed: checks are a permanent error\.",
     "有 {0} 项查不到结果，上限为 {1} 项：检查结果为永久错误。"),
    (r"ptr is slow and unreliable, and must not be used \(RFC 7208 §5\.5\)\.",
     "ptr 既慢又不可靠，不应使用（RFC 7208 §5.5）。"),
    (r"Use ip4, ip6 or a\.", "请用 ip4、ip6 或 a。"),
    (r"(\S+) allows every host\.", "{0} 允许所有主机。"),
    (r"Name the networks that send for the domain\.", "请写明为该域发信的网络。"),
    (r"all ends the record, so this is ignored: (.+)\.", "记录到 all 为止，其后被忽略：{0}。"),
    (r"Put all at the end\.", "请把 all 放在最后。"),
    (r"Receivers ignore modifiers that they do not know: (.+)\.", "接收SMTP会忽略不认识的修饰项：{0}。"),
    (r"Look for a typing error\.", "请检查是否有拼写错误。"),
    (r"The record has (\d+) octets; above (\d+) the answer may not fit in one DNS packet\.",
     "该记录有 {0} 字节；超过 {1} 字节，应答可能放不进一个 DNS 数据包。"),
    (r"Move some terms to a record of their own, and include it\.", "请把部分项移到单独的记录，再 include 它。"),
    (r"The record does not end with all or redirect, so it says nothing about other hosts\.",
     "记录没有以 all 或 redirect 结尾，对其他主机没有说明。"),
    (r"Add ~all while you try the record, and -all later\.", "试用期间加上 ~all，以后改为 -all。"),
    (r"(\S+) allows every host to send for the domain\.", "{0} 允许任何主机以该域名义发信。"),
    (r"(\S+) says nothing about other hosts\.", "{0} 对其他主机没有说明。"),
    (r"Write ~all while you try the record, and -all later\.", "试用期间写 ~all，以后改为 -all。"),
    # a message
    (r"The ARC chain is not valid: (.+)\.", "ARC 链无效：{0}。"),
    (r"Receivers treat the message as one without a chain\.", "接收SMTP会把它当作没有链的邮件。"),
    (r"The message has no DKIM signature\.", "该邮件没有 DKIM 签名。"),
    (r"Sign it: posthouse dkim keygen (\S+) makes a key and shows its record\.",
     "请签名：用 posthouse dkim keygen {0} 创建密钥并显示其记录。"),
    (r"See (posthouse check domain .+)\.", "参见 {0}。"),
    (r"If (\S+) is a host of yours, publish this record\.", "如果 {0} 是你的主机，请发布这条记录。"),
    (r"See that nothing changes the message after it is signed, and that the key is right\.",
     "请确认签名之后邮件没有被改动，并且密钥正确。"),
    (r"Publish a policy\.", "请发布策略。"),
    (r"Write one From field with one address\.", "请只写一个 From 字段，其中一个地址。"),
    (r"SPF passed for (\S+): use an address of (\S+) in MAIL FROM, or sign with (d=\S+)\.",
     "{0} 的 SPF 通过：请在 MAIL FROM 中使用 {1} 的地址，或以 {2} 签名。"),
    (r"The signature of (\S+) passed: sign with (d=\S+) in its place or besides\.",
     "{0} 的签名通过：请改用或另加 {1} 的签名。"),
    (r"Sign with (d=\S+), or send from a host that the SPF record of (\S+) allows\.",
     "请以 {0} 签名，或从 {1} 的 SPF 记录允许的主机发送。"),
)  # fmt: skip
_FINDINGS: Final = tuple((re.compile(pattern), text) for pattern, text in _ROWS)
_VERDICT: Final = re.compile(
    r"(?:(SPF|DMARC) is (\w+) for (.+?)|The signature of (.+?) is (\w+)): (.+?)\."
    r"( Receivers refuse it\.| Receivers put it aside\.)?"
)
_WISHES: Final = {" Receivers refuse it.": "接收SMTP会拒收。", " Receivers put it aside.": "接收SMTP会隔离它。"}


def chinese_finding(sentence: str) -> str:
    """A sentence of a finding in Chinese; one that no row matches is given back unchanged."""
    for pattern, text in _FINDINGS:
        found = pattern.fullmatch(sentence)
        if found is not None:
            return text.format(*(each or "" for each in found.groups()))
    said = _VERDICT.fullmatch(sentence)
    if said is None:
        return sentence
    method, result, domain, signer, signed, reason, wish = said.groups()
    what = f"{domain} 的 {method}" if method else f"{signer} 的签名"
    word = _RESULTS.get(result or signed, result or signed)
    return f"{what} 结果：{word}。{chinese_auth_reason(reason)}。{_WISHES.get(wish or '', '')}"
