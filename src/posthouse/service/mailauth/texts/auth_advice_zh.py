"""Chinese texts of what ``check domain``, ``check message`` and ``dkim check`` find and advise in English.

Each row has the pattern of one English sentence and its Chinese form, in which ``{0}`` is the first group; a group is
itself translated if a row fits it.  Reasons of the checks are those of ``auth_reasons_zh``.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason

__all__ = ["chinese_auth_advice"]

_LONGEST: Final = 4_000  # characters of a text that is looked at

_TEXTS: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        # Any topic
        (r"The DNS gave no answer: (.*)\.", "DNS 没有应答：{0}。"),
        (r"The DNS gave no answer \((.*)\); ask again later\.", "DNS 没有应答（{0}），请稍后再查。"),
        (r"Ask again later\.", "请稍后再查。"),
        (r"unknown: the DNS failed", "未知：DNS 出错"),
        (r"no record", "没有记录"),
        (r"a record", "有一条记录"),
        (r"a record without effect", "有一条记录，但不起作用"),
        (r"Publish it in this form\.", "请按下面的格式发布。"),
        (r"Keep one(?: record)?\.", "请只保留一条。"),
        # MX (mailauth.domain_check.mail_hosts)
        (r"(\S+) does not exist in the DNS\.", "DNS 中没有 {0}。"),
        (r"Check the spelling, or register it\.", "请检查拼写，或注册这个域名。"),
        (r"the domain does not exist", "没有这个域"),
        (r"the domain receives no mail \(null MX, RFC 7505\)", "该域不接收邮件（空 MX，RFC 7505）"),
        (r"The null MX \(\.\) stands beside other MX records .*", "空 MX（“.”）与其他 MX 记录并存（RFC 7505 §3）。"),
        (r"Remove one kind\.", "请去掉其中一种。"),
        (
            r"No host of the MX records has an address: the domain gets no mail\.",
            "MX 记录中的主机都没有地址，该域收不到邮件。",
        ),
        (r"Give one of them an A or AAAA record\.", "请为其中一台发布 A 或 AAAA 记录。"),
        (r"(\d+) MX records?", "{0} 条 MX 记录"),
        (r"(\S+) has no MX record, so its mail goes to its own address\.", "{0} 没有 MX 记录，邮件发往它自己的地址。"),
        (
            r"Publish an MX record; one for a domain without mail is 0 and a dot\.",
            "请发布 MX 记录；没有邮件的域写 0 和一个点。",
        ),
        (r"no MX record; the domain's own address is used", "没有 MX 记录，用该域自己的地址"),
        (
            r"(\S+) has neither MX nor address, so it receives no mail, and receivers may refuse its own\.",
            "{0} 既没有 MX 也没有地址，收不到邮件；它发出的邮件也可能被拒绝。",
        ),
        (
            r"Publish an MX record; this one says that the domain has no mail\.",
            "请发布 MX 记录；下面这条表示该域没有邮件。",
        ),
        (r"no MX record and no address", "没有 MX 记录，也没有地址"),
        (
            r"(\S+) in an MX record is an alias, which RFC 5321 §5\.1 forbids\.",
            "MX 记录中的 {0} 是别名，RFC 5321 §5.1 不允许。",
        ),
        (r"Name (\S+) itself\.", "请直接写 {0}。"),
        (r"(\S+) in an MX record has no address\.", "MX 记录中的 {0} 没有地址。"),
        (r"Give it an A record, or remove the MX record\.", "请为它发布 A 记录，或去掉这条 MX 记录。"),
        # TLS
        (
            r"no TLSA records: senders cannot demand this certificate by DANE",
            "没有 TLSA 记录：对方无法用 DANE 要求这份证书",
        ),
        (r"(\d+) TLSA records?", "{0} 条 TLSA 记录"),
        (
            r"The answer for (.*) is not marked as signed, and TLSA records need DNSSEC\.",
            "关于 {0} 的应答没有已签名的标志，而 TLSA 记录需要 DNSSEC。",
        ),
        (r"Sign the zone, or ask a resolver that validates\.", "请为该区签名，或使用会验证的解析器。"),
        (r"no record: senders may fall back to mail without TLS", "没有记录：对方可能退回到不加密的传送"),
        (
            r"The MTA-STS record has no effect: it must be one, with an id of letters and digits .*",
            "MTA-STS 记录不起作用：须只有一条，且 id 由字母和数字组成（RFC 8461）。",
        ),
        (
            r"Publish it in this form, with a new id whenever the policy changes\.",
            "请按下面的格式发布；策略每次改变，都换一个新的 id。",
        ),
        (r"The policy was not fetched\.", "没有去取策略。"),
        (r"See that (\S+) names the MX hosts\.", "请确认 {0} 列出了 MX 主机。"),
        (
            r"no record: senders tell nobody when TLS with the domain's hosts fails",
            "没有记录：与该域主机的 TLS 失败时，对方不会告知任何人",
        ),
        (
            r"The TLS-RPT record has no effect: it must stand alone, with an address in rua= .*",
            "TLS-RPT 记录不起作用：须只有一条，且 rua= 中有地址（RFC 8460 §3）。",
        ),
        # DKIM (mailauth.domain_check.policy_records, service.operations.dkim_keys)
        (
            r"DKIM keys have names \(selectors\) that the DNS does not list, and none was given\.",
            "DKIM 密钥各有名称（选择符），DNS 不会列出它们，而这里没有给出。",
        ),
        (
            r"Name one with --selector; s= in the DKIM-Signature of a message says which\.",
            "请用 --selector 给出；邮件中 DKIM-Signature 的 s= 就是它。",
        ),
        (r"not looked at", "没有查看"),
        (r"(\d+) of (\d+) keys found", "找到 {1} 个密钥中的 {0} 个"),
        (
            r"(\S+) has (\d+) TXT records, and receivers take any one\.",
            "{0} 有 {1} 条 TXT 记录，对方可能用其中任何一条。",
        ),
        (r"The key (\S+) says that it is a test \(t=y\), so .*", "密钥 {0} 标明在测试（t=y），对方可能不予理会。"),
        (r"Remove t=y\.", "请去掉 t=y。"),
        (r"Publish the record that posthouse dkim show prints\.", "请发布 posthouse dkim show 所显示的记录。"),
        (r"The RSA key (\S+) has (\d+) bits, which is weak\.", "RSA 密钥 {0} 只有 {1} 位，太弱。"),
        (r"Make one of 2048 bits: posthouse dkim rotate\.", "请换成 2048 位的：posthouse dkim rotate。"),
        (r"Publish the TXT record (\S+): (.*)", "请发布 TXT 记录 {0}：{1}"),
        (r"The TXT record (\S+) has another key; replace it with: (.*)", "TXT 记录 {0} 是另一个密钥，请换成：{1}"),
        (r"Nothing needs the TXT record (\S+) any more; remove it\.", "TXT 记录 {0} 已经没有用了，请去掉。"),
        (r"Other users of this machine may read (\S+); run: (.*)", "本机的其他用户可以读取 {0}，请运行：{1}"),
        (r"An RSA key of (\d+) bits is weak; replace it with: (.*)", "{0} 位的 RSA 密钥太弱，请更换：{1}"),
        # DMARC
        (
            r"_dmarc\.(\S+) has (\d+) DMARC records, so none of them counts; keep one\.?",
            "_dmarc.{0} 有 {1} 条 DMARC 记录，都不算数",
        ),
        (
            r"(\S+) has no DMARC record: receivers are not told what to do with forged mail\.",
            "{0} 没有 DMARC 记录，接收SMTP不知道该如何处理冒名的邮件。",
        ),
        (
            r"Publish one that asks for reports; make it stricter when they show only your hosts\.",
            "请先发布一条只索取报告的记录；等报告中只有自己的主机时，再改得严格。",
        ),
        (r"policy (\S+), inherited from (\S+)", "策略为 {0}，沿用 {1} 的"),
        (r"policy (\S+)", "策略为 {0}"),
        (r"_dmarc\.(\S+): (.*)\.", "_dmarc.{0}：{1}。"),
        (r"Correct the record\.", "请改正记录。"),
        (
            r"The policy is none: receivers deliver mail that only pretends to be the domain's\.",
            "策略为 none：冒用该域的邮件，接收SMTP也会照常投递。",
        ),
        (
            r"When the reports show only your hosts, write p=quarantine, and later p=reject\.",
            "等报告中只有自己的主机时，改为 p=quarantine，以后再改为 p=reject。",
        ),
        (
            r"rua= is missing, so nobody reports what is sent in the domain's name\.",
            "没有 rua=，所以没有人报告有谁用该域的名义发信。",
        ),
        (r"Add (rua=\S+)", "请加上 {0}"),
        (
            r"Reports go to (\S+), which does not say that it takes them, so none will come\.",
            "报告要发往 {0}，但它没有表明愿意接收，因此不会有报告。",
        ),
        (r"Have the owner of (\S+) publish this record\.", "请让 {0} 的所有者发布下面这条记录。"),
        (r"p= is missing: (.*)", "缺少 p=：{0}"),
        (r"a policy is wrong: (.*)", "策略有误：{0}"),
        (r"p=none is assumed, because rua= asks for reports", "因为 rua= 索取报告，按 p=none 处理"),
        (r"the record has no effect", "记录不起作用"),
        (
            r"(\S+)= is ignored: RFC 9989 has removed it; t=y asks for a milder policy",
            "{0}= 不起作用：RFC 9989 已取消它；t=y 可使策略放宽一级",
        ),
        (r"(\S+)= is ignored: RFC 9989 has removed it", "{0}= 不起作用：RFC 9989 已取消它"),
        (r"(.+) is no tag: write name=value", "{0} 不是标记，请写成“名称=值”"),
        (r"(\S+)= stands twice, and the first one counts", "{0}= 出现两次，以第一次为准"),
        (r"(\S+)= stands twice", "{0}= 出现两次"),
        (r"(\S+)= has more than (\d+) addresses, and the first (\d+) count", "{0}= 中的地址多于 {1} 个，只算前 {2} 个"),
        (r"(.+) in (\S+)= is ignored: (.*)", "{1}= 中的 {0} 不起作用：{2}"),
        (r"(\S+)=(.*) is ignored: (.*)", "{0}={1} 不起作用：{2}"),
        (r"a policy is none, quarantine or reject", "策略只能是 none、quarantine 或 reject"),
        (r"it can be 0 or 1, d, s, with colons between them", "可以是 0 或 1、d、s，中间用冒号"),
        (r"it can be (.*)", "可以是 {0}"),
        (r"it is no URI, such as (\S+)", "它不是 URI，例如 {0}"),
        (r"behind mailto: stands no address", "mailto: 后面不是地址"),
        # SPF (mailauth.domain_check.spf_survey)
        (
            r"(\S+) publishes no SPF record, so any host may use it as the sender\.",
            "{0} 没有发布 SPF 记录，任何主机都可以用它作发件人的域。",
        ),
        (
            r"Publish one that names the hosts which send for the domain; this one allows the hosts that receive .*\.",
            "请发布一条列出为该域发信的主机的记录；下面这条允许接收它邮件的主机。",
        ),
        (
            r"Publish one that names the hosts which send for the domain; this one allows no host\.",
            "请发布一条列出为该域发信的主机的记录；下面这条不允许任何主机。",
        ),
        (
            r"(\S+) publishes (\d+) SPF records, so each check is a permanent error\.",
            "{0} 发布了 {1} 条 SPF 记录，每次检查都是永久错误。",
        ),
        (r"Join their terms in one record, and remove the others\.", "请把各项合并为一条记录，去掉其余的。"),
        (r"permanent error: several records", "永久错误：有多条记录"),
        (r"permanent error: syntax", "永久错误：语法"),
        (
            r"The SPF record has a syntax error in (.+), so each check is a permanent error\.",
            "SPF 记录中的 {0} 有语法错误，每次检查都是永久错误。",
        ),
        (r"Correct it: (.*)\.", "请改正：{0}。"),
        (r"one record, (\d+) of (\d+) look-ups", "一条记录，用了 {1} 次 DNS 查询中的 {0} 次"),
        (
            r"(.+) in the record of (\S+) finds (\d+) MX records, and (\d+) are allowed: .*",
            "{1} 的记录中，{0} 查到 {2} 条 MX 记录，最多允许 {3} 条：查到这里的检查都是永久错误。",
        ),
        (r"Name the hosts with ip4 and ip6 in place of mx\.", "请不用 mx，改用 ip4 和 ip6 写明主机。"),
        (
            r"(.+) in the record of (\S+) leads back to (\S+): checks end with a permanent error\.",
            "{1} 的记录中，{0} 又绕回 {2}：检查以永久错误告终。",
        ),
        (r"The record of (\S+) was not had: (.*)\.", "未能查到 {0} 的记录：{1}。"),
        (r"(.+) in the record of (\S+) is a permanent error: (.*)\.", "{1} 的记录中，{0} 是永久错误：{2}。"),
        (r"(\S+) has no SPF record", "{0} 没有 SPF 记录"),
        (r"(\S+) has (\d+) SPF records", "{0} 有 {1} 条 SPF 记录"),
        (r"the record of (\S+) has a syntax error in (.+)", "{0} 的记录中，{1} 有语法错误"),
        (
            r"Remove (.+), or ask the owner of (\S+) to publish a right record\.",
            "请去掉 {0}，或请 {1} 的所有者发布正确的记录。",
        ),
        (
            r"(.+) in the record of (\S+) finds no record of (\S+); (\d+) such terms are allowed\.",
            "{1} 的记录中，{0} 查不到 {2} 的记录；这样的项最多允许 {3} 个。",
        ),
        (
            r"The record needs (more than )?(\d+) look-ups with its includes, and (\d+) are allowed: .*",
            "记录连同它所包含的需要 {1} 次以上的 DNS 查询，最多允许 {2} 次：排在后面的主机，检查是永久错误。",
        ),
        (
            r"Remove includes of services that no longer send, and name fixed hosts with ip4 and ip6\.",
            "请去掉不再发信的服务的 include，固定的主机用 ip4 和 ip6 写明。",
        ),
        (
            r"The record needs (\d+) of (\d+) look-ups; a service that adds one more will break it\.",
            "记录需要 {1} 次 DNS 查询中的 {0} 次；所用的服务再多一次，它就会失效。",
        ),
        (
            r"Remove what no longer sends, and name fixed hosts with ip4 and ip6\.",
            "请去掉不再发信的，固定的主机用 ip4 和 ip6 写明。",
        ),
        (
            r"(\d+) terms find nothing, and (\d+) are allowed: checks are a permanent error\.",
            "有 {0} 项查不到任何结果，最多允许 {1} 项：检查是永久错误。",
        ),
        (r"ptr is slow and unreliable, and must not be used .*", "ptr 又慢又不可靠，不应再用（RFC 7208 §5.5）。"),
        (r"Use ip4, ip6 or a\.", "请用 ip4、ip6 或 a。"),
        (r"(\S+) allows every host\.", "{0} 允许所有主机。"),
        (r"Name the networks that send for the domain\.", "请写明为该域发信的网络。"),
        (r"all ends the record, so this is ignored: (.*)\.", "记录到 all 为止，后面的不起作用：{0}。"),
        (r"Put all at the end\.", "请把 all 放在最后。"),
        (r"Receivers ignore modifiers that they do not know: (.*)\.", "接收SMTP不理会不认识的修饰项：{0}。"),
        (r"Look for a typing error\.", "请看看是否拼写有误。"),
        (
            r"The record has (\d+) octets; above (\d+) the answer may not fit in one DNS packet\.",
            "记录有 {0} 字节；超过 {1} 字节时，应答可能放不进一个 DNS 包。",
        ),
        (
            r"Move some terms to a record of their own, and include it\.",
            "请把一部分移到另一条记录中，再用 include 引用。",
        ),
        (
            r"The record does not end with all or redirect, so it says nothing about other hosts\.",
            "记录不以 all 或 redirect 结尾，对其他主机没有任何说明。",
        ),
        (r"(?:Add|Write) ~all while you try the record, and -all later\.", "试用期间写 ~all，以后写 -all。"),
        (r"(\S+) allows every host to send for the domain\.", "{0} 允许所有主机为该域发信。"),
        (r"(\S+) says nothing about other hosts\.", "{0} 对其他主机没有任何说明。"),
        # One message (service.operations.checks.auth_advice)
        (r"The ARC chain is not valid: (.*)\.", "ARC 链无效：{0}。"),
        (r"Receivers treat the message as one without a chain\.", "接收SMTP会把它当作没有 ARC 链的邮件。"),
        (r"The message has no DKIM signature\.", "邮件没有 DKIM 签名。"),
        (
            r"Sign it: posthouse dkim keygen (\S+) makes a key and shows its record\.",
            "请签名：posthouse dkim keygen {0} 生成密钥并显示其记录。",
        ),
        (r"SPF is (\S+) for the sender: (.*)\.", "发件人的 SPF 结果为 {0}：{1}。"),
        (r"SPF is (\S+) for (\S+): (.*)\.", "{1} 的 SPF 结果为 {0}：{2}。"),
        (
            r"Name a domain that can have a record: with --from the sender, with --helo the host in full\.",
            "请给出可以有记录的域名：用 --from 给出发件人，用 --helo 给出主机的全名。",
        ),
        (r"If (\S+) is a host of yours, publish this record\.", "如果 {0} 是你的主机，请发布下面这条记录。"),
        (r"The signature of an unknown domain is (\S+): (.*)\.", "来自未知域的签名，结果为 {0}：{1}。"),
        (r"The signature of (\S+) is (\S+): (.*)\.", "{0} 的签名，结果为 {1}：{2}。"),
        (
            r"See that nothing changes the message after it is signed, and that the key is right\.",
            "请确认邮件签名之后没有再被改动，且密钥正确。",
        ),
        (r"See (posthouse check domain .*)\.", "请看 {0}。"),
        (r"DMARC is (\S+) for the author: (.*)\.", "作者的 DMARC 结果为 {0}：{1}。"),
        (r"DMARC is (\S+) for (\S+): (.*)\. Receivers refuse it\.", "{1} 的 DMARC 结果为 {0}：{2}。接收SMTP会拒绝它。"),
        (
            r"DMARC is (\S+) for (\S+): (.*)\. Receivers put it aside\.",
            "{1} 的 DMARC 结果为 {0}：{2}。接收SMTP会把它隔离。",
        ),
        (r"DMARC is (\S+) for (\S+): (.*)\.", "{1} 的 DMARC 结果为 {0}：{2}。"),
        (
            r"Whether the message passes DMARC is not known: no .* aligned with (\S+), and SPF was not checked\.",
            "不知道邮件能否通过 DMARC：没有与 {0} 对齐的签名通过，而 SPF 没有检查。",
        ),
        (
            r"Sign with d=(\S+), or give the host and the sender with --ip and --from\.",
            "请用 d={0} 签名，或用 --ip 和 --from 给出发送主机和发件人。",
        ),
        (r"Sign with d=(\S+), or give the sender with --from\.", "请用 d={0} 签名，或用 --from 给出发件人。"),
        (r"Publish a policy\.", "请发布策略。"),
        (r"Write one From field with one address\.", "请只写一个 From 字段，其中只有一个地址。"),
        (
            r"SPF passed for (\S+): use an address of (\S+) in MAIL FROM, or sign with d=(\S+)\.",
            "SPF 对 {0} 通过了：请在 MAIL FROM 中使用 {1} 的地址，或用 d={2} 签名。",
        ),
        (
            r"The signature of (\S+) passed: sign with d=(\S+) in its place or besides\.",
            "{0} 的签名通过了：请改用或加用 d={1} 签名。",
        ),
        (
            r"Sign with d=(\S+), or send from a host that the SPF record of (\S+) allows\.",
            "请用 d={0} 签名，或从 {1} 的 SPF 记录所允许的主机发送。",
        ),
        (r"Remove (.+)\.", "请去掉 {0}。"),
    )
)


def chinese_auth_advice(text: str) -> str:
    """The text in Chinese; one that no row matches is given back unchanged."""
    if len(text) > _LONGEST:
        return text
    for pattern, chinese in _TEXTS:
        found = pattern.fullmatch(text)
        if found is not None:
            return chinese.format(*(chinese_auth_advice(group) if group else "" for group in found.groups()))
    reason = chinese_auth_reason(text)
    if reason == text and text.endswith("."):  # a reason as a sentence
        bare = f"{text[:1].lower()}{text[1:-1]}"
        reason = chinese_auth_reason(bare)
        return text if reason == bare else f"{reason}。"
    return reason
