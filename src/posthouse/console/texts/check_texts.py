"""The texts of the pages that check a domain and a message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "check.title": ("Check", "检查"),
        "check.domain": ("Check a domain", "检查域名"),
        "check.message": ("Check a message", "检查邮件"),
        "check.domain.lead": (
            "What the DNS says of a domain's mail (MX, SPF, DKIM, DMARC, TLS), what is wrong, and what to publish.",
            "DNS 中与该域邮件有关的记录（MX、SPF、DKIM、DMARC、TLS）是否正确，以及应当发布什么。",
        ),
        "check.message.lead": (
            "What a receiver makes of SPF, DKIM, ARC and DMARC of a message, and what to change.",
            "接收SMTP如何判断一封邮件的 SPF、DKIM、ARC 和 DMARC，以及应当改什么。",
        ),
        "check.name": ("Domain", "域名"),
        "check.selectors": ("DKIM selectors", "DKIM 选择符"),
        "check.act": ("Check", "检查"),
        "check.zone": ("Records that are not published yet", "尚未发布的记录"),
        "check.zone.help": (
            "As JSON, in place of the DNS: a name, a type and the records.",
            "JSON 格式，代替 DNS：名称、类型和记录。",
        ),
        "check.none": ("No problem was found.", "没有发现问题。"),
        "check.counts": (
            "Errors: {error}, warnings: {warning}, notes: {note}.",
            "错误 {error} 个，警告 {warning} 个，提示 {note} 个。",
        ),
        "check.level.error": ("error", "错误"),
        "check.level.warning": ("warning", "警告"),
        "check.level.note": ("note", "提示"),
        "check.publish": ("Publish:", "请发布："),
        "check.records": ("Records", "记录"),
        "check.no_records": ("No records.", "没有记录。"),
        "check.topic.mx": ("MX: where mail for the domain goes", "MX：该域的邮件送往何处"),
        "check.topic.spf": ("SPF: which hosts may send for it", "SPF：哪些主机可以用该域的名义发信"),
        "check.topic.dkim": ("DKIM: the keys of its signatures", "DKIM：签名所用的密钥"),
        "check.topic.dmarc": ("DMARC: what receivers do with forgeries", "DMARC：接收SMTP如何处理伪造的邮件"),
        "check.topic.mta-sts": ("MTA-STS: TLS demanded by policy", "MTA-STS：用策略要求 TLS"),
        "check.topic.tls-rpt": ("TLS reports: where problems are told", "TLS 报告：问题报告给谁"),
        "check.topic.dane": ("DANE: TLS demanded by DNSSEC", "DANE：用 DNSSEC 要求 TLS"),
        "check.file": ("Message (.eml)", "邮件文件（.eml）"),
        "check.text": ("or its source", "或邮件源码"),
        "check.ip": ("Address of the host that sends it", "发送主机的 IP 地址"),
        "check.ip.help": ("Without the address of the host, SPF is left out.", "不填 IP 地址则不检查 SPF。"),
        "check.mail_from": ("MAIL FROM", "MAIL FROM"),
        "check.helo": ("EHLO", "EHLO"),
        "check.method": ("Method", "方法"),
        "check.result": ("Result", "结果"),
        "check.for": ("Domain", "域"),
        "check.reason": ("Reason", "原因"),
        "check.asks": (
            "The policy of {domain} ({policy}) asks receivers to: {what}.",
            "{domain} 的策略（{policy}）要求接收SMTP：{what}。",
        ),
        "check.what.none": ("deliver it", "照常投递"),
        "check.what.quarantine": ("treat it as suspicious", "视为可疑"),
        "check.what.reject": ("refuse it", "拒收"),
        "check.what.pass": ("deliver it", "照常投递"),
        "check.advice": ("What to change", "应当改什么"),
        "check.again": ("Another message", "检查另一封"),
    }
)
