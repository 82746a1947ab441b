"""The texts of the settings of message authentication in Chinese (``config.chinese_texts``)."""

from __future__ import annotations

from typing import Final

__all__ = ["MAILAUTH_TEXTS", "MAILAUTH_TYPES"]

#: Setting, as ``SettingDoc.path`` has it → its text.
MAILAUTH_TEXTS: Final[dict[str, str]] = {
    "listener[].verify": "同 `[mailauth] verify`，只用于这个监听器；写在这里时，对来自本机的客户端也生效。",
    "mailauth": "邮件身份验证：SPF、DKIM、DMARC 和 ARC。详见 mailauth.md。",
    "mailauth.verify": "如何对待其他主机发来的邮件：`off` 不验证；`mark` 验证，并加上 Authentication-Results 字段；"
    "`enforce` 还执行作者所在域的策略（DMARC）。不写时，其他机器发往 `mx` 监听器的邮件为 `mark`；[[domain]] “*” 接收"
    "所有邮件时为 `off`。可信网络和已登录的客户端不验证。",
    "mailauth.authserv_id": "本服务器在 Authentication-Results（RFC 8601）中的名称；外来邮件中冒用这个名称的字段会被去"
    "掉。不写时，用 `hostname`。",
    "mailauth.dns_failure": "DMARC 的结果取决于暂时得不到的 DNS 应答时：`accept` 不加验证地接收；在 `enforce` 之下，"
    "`defer` 请对方稍后重试（451 4.4.3）。",
    "mailauth.dns_time": "为一封邮件查询 DNS 总共可用的时间。",
    "mailauth.dns_questions": "每个工作进程同时进行的、为邮件所作的 DNS 查询数；其余的等待。",
    "mailauth.spf_fail": "在 `enforce` 之下，SPF 结果为 fail、而 DMARC 和可信的转发者都没有为其作证的邮件：`mark` 交由 "
    "DMARC 决定，`reject` 拒绝（550 5.7.23）。转发的邮件常常通不过 SPF。",
    "mailauth.quarantine": "如何处理 DMARC 要求隔离的邮件：`hold` 接收并扣留，由管理员决定；`header` 投递，并在最前"
    "面加上 Quarantine 字段，供邮件程序分拣；`folder` 也加上这个字段，并存入 Maildir 的 `quarantine_folder`。",
    "mailauth.quarantine_folder": "Maildir 中存放被隔离邮件的文件夹：Maildir 下的一个目录，没有时会建立。Maildir++ 用 "
    "`.Junk`，Dovecot 的 `LAYOUT=fs` 用 `Junk`。",
    "mailauth.trusted_sealers": "ARC 封签受信任的转发者的域：在那里通过验证的邮件，不因转发所破坏的而被拒绝或隔离"
    "（RFC 8617）。",
    "mailauth.received_spf": "验证过的邮件是否另加 Received-SPF 字段（RFC 7208 §9.1）。",
    "mailauth.exception[]": "例外：对一个作者所在的域，用这里的策略代替它自己的 DMARC 策略。",
    "mailauth.exception[].domain": "From 中的域，连同其下的各域。",
    "mailauth.exception[].policy": "如何处理该域未通过 DMARC 的邮件。",
    "mailauth.exception[].reason": "原因；日志和邮件经过会写明。",
    "mailauth.sign": "作者所在的域有密钥时，是否为提交的邮件签名（DKIM）。",
    "mailauth.keys": "存放密钥的目录，见 `posthouse dkim`；不写时，为 `data_dir` 下的 `dkim`。",
    "mailauth.expires": "签名的有效期（x=）；0 表示不过期。",
    "mailauth.signing[]": "一个域的作者或某一位作者的邮件如何签名；一个都不写时，凡有密钥的域都为自己及其下"
    "各域的邮件签名。",
    "mailauth.signing[].author": "From 中的域（连同其下的各域），或一个地址；地址优先。",
    "mailauth.signing[].domain": "签名的域（d=）；不写时，不为这些邮件签名。",
    "mailauth.signing[].selectors": "用来签名的密钥；不写时，用该域当前的密钥，每种算法一个。",
    "mailauth.seal": "别名、邮件列表或改了地址的邮箱把验证过的邮件发往其他服务器时，若 `hostname` 的域有密钥，"
    "是否加以封签（ARC）。",
    "mailauth.srs_domain": "转发邮件时，用本服务器这个域中的地址代替原发件人地址（SRS），使下一台服务器的 SPF 得以"
    "通过；发往这些地址的投递报告会送回原发件人。不写时，发件人地址不变。",
    "mailauth.batv[]": "一个域：发往外部的邮件，其发件人地址在该域中的都加上签名（BATV），从而辨别出为它从未"
    "发出的邮件而来的投递报告。",
    "mailauth.batv[].domain": "本服务器的一个域。",
    "mailauth.batv[].reports": "投递报告发往该域中没有签名、或签名已超过 14 天的地址时：`refuse` 拒绝（550 5.7.1），"
    "`accept` 接收。头 14 天请写 `accept`，因为此前的邮件没有签名。",
    "mailauth.batv[].unsigned_to": "发往这些收件人的邮件，发件人地址保持原样：可写域（连同其下的各域）或地址。有些邮件"
    "列表凭发件人地址识别成员，须写在这里。",
    "mailauth.reports": "是否每天向索取汇总报告的域的所有者发送报告（RFC 9990）。",
    "mailauth.failure_reports": "域的所有者索取失败报告（`ruf`，RFC 9991）时，每个收报地址一天最多得到几份。每份"
    "报告针对一封邮件，含其邮件头中的字段，不含他人的地址；0 表示不发。",
    "mailauth.report_sender": "汇总报告和失败报告的作者；不写时，为 `hostname` 的 `dmarc-reports`。",
}

#: How a value is written → the same in Chinese.
MAILAUTH_TYPES: Final[dict[str, str]] = {
    "domain or address": "域名或地址",
    "list of domains": "域名的列表",
    "list of domains and addresses": "域名和地址的列表",
    "name of a folder": "文件夹的名称",
    "list of selectors": "选择符的列表",
}
