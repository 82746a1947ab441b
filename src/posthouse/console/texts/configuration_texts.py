"""The texts of the configuration page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "configuration.title": ("Configuration", "配置"),
        "configuration.lead": (
            "The settings that are in force now, and where each value comes from.",
            "现在生效的设置，以及每个值的来源。",
        ),
        "configuration.file": ("File", "文件"),
        "configuration.no_file": ("No file: all mail is caught.", "没有配置文件：截留全部邮件。"),
        "configuration.setting": ("Setting", "设置"),
        "configuration.value": ("Value", "值"),
        "configuration.origin": ("Origin", "来源"),
        "configuration.origin.file": ("file", "文件"),
        "configuration.origin.default": ("default", "默认"),
        "configuration.origin.given": ("given", "启动时给定"),
        "configuration.origin.environment": ("environment", "环境变量"),
        "configuration.set": ("set", "已设置"),
        "configuration.not_set": ("not set", "未设置"),
        "configuration.filter": ("Show settings with", "筛选设置"),
        "configuration.changed_only": ("Only those that differ from the default", "只看与默认值不同的"),
        "configuration.show": ("Show", "显示"),
        "configuration.findings": ("Findings", "检查结果"),
        "configuration.findings.lead": (
            "What may not be intended in the settings, what this machine lacks, certificates that end within 21 days.",
            "设置中可能并非本意之处、本机所缺的东西，以及 21 天内到期的证书。",
        ),
        "configuration.findings.none": ("Nothing was found.", "没有发现问题。"),
        "configuration.findings.count": ("Findings: {count}", "检查结果：{count} 条"),
        "configuration.settings": ("Settings", "设置"),
        "configuration.accounts": ("Accounts and addresses", "账户与地址"),
        "configuration.account": ("Account", "账户"),
        "configuration.may_send": ("May send as", "可用的发件人地址"),
        "configuration.may_log_in": ("May log in", "可以登录"),
        "configuration.yes": ("yes", "是"),
        "configuration.no": ("no", "否"),
        "configuration.no_accounts": (
            "There are no accounts; posthouse user add makes one.",
            "没有账户；用 posthouse user add 创建。",
        ),
        "configuration.tokens": ("API tokens", "API 令牌"),
        "configuration.no_tokens": (
            "There are no tokens; posthouse user token-add makes one.",
            "没有令牌；用 posthouse user token-add 创建。",
        ),
        "configuration.may_read": ("may read", "只读"),
        "configuration.may_all": ("may do everything", "可做一切"),
        "configuration.domain": ("Domain {name}", "域 {name}"),
        "configuration.alias": ("alias", "别名"),
        "configuration.list": ("mailing list", "邮件列表"),
        "configuration.moved": ("moved", "已迁移"),
        "configuration.address": ("Address", "地址"),
        "configuration.leads_to": ("Leads to", "指向"),
        "configuration.no_aliases": ("No aliases, lists or moved mailboxes.", "没有别名、邮件列表或已迁移的邮箱。"),
        "configuration.dkim": ("DKIM keys", "DKIM 密钥"),
        "configuration.dkim.lead": (
            "The keys that sign mail, with the DNS records to publish.",
            "给邮件签名的密钥，以及要在 DNS 中发布的记录。",
        ),
        "configuration.dkim.none": (
            "There are no keys; posthouse dkim keygen makes one.",
            "没有密钥；用 posthouse dkim keygen 创建。",
        ),
        "configuration.dkim.next": ("signs next", "即将启用"),
        "configuration.dkim.signing": ("signs now", "正在签名"),
        "configuration.dkim.retired": ("signs no more; keep its record", "已停用，记录须保留"),
        "configuration.dkim.removable": ("no longer needed", "可以删除"),
        "configuration.dkim.bits": ("{bits} bits", "{bits} 位"),
        "configuration.dkim.made": ("made", "创建于"),
        "configuration.dkim.until": ("until", "直到"),
        "configuration.dkim.name": ("Name (TXT)", "名称（TXT）"),
        "configuration.dkim.record": ("Value", "值"),
        "configuration.dkim.zone": ("In a zone file", "区域文件写法"),
        "configuration.none": ("No setting has this text.", "没有符合的设置。"),
    }
)
