"""Refusals of large providers whose text does not say what to do, in plain words, in English and Chinese.

Each entry is found by the provider's own reply: its code, its enhanced code and words that only this provider writes.
The texts were collected from the providers' documentation and from replies that users have reported.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from posthouse.codes.model import Text
from posthouse.core.reply import Reply

__all__ = ["KNOWN_REFUSALS", "KnownRefusal", "known_refusal", "known_refusal_in"]

_LONGEST = 2_048  # characters of a reply that are looked at


class KnownRefusal(NamedTuple):
    """A provider's refusal.

    ``pattern`` is searched in the reply on one line, ``550 5.7.30 …``, without regard to case; ``example`` is a reply
    that it finds; ``advice`` is one sentence that says what it means and what to do.
    """

    provider: str
    pattern: str
    example: str
    advice: Text


KNOWN_REFUSALS: tuple[KnownRefusal, ...] = (
    KnownRefusal(
        "Microsoft",
        r"^550 5\.7\.30 .*basic auth",
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        Text(
            "Microsoft 365 takes no passwords for sending any more: log in with an OAuth token (credentials= takes a "
            "function that gives one), or send through another server.",
            "Microsoft 365 已不再接受用密码发信："
            "请改用 OAuth 令牌登录（credentials= 可传入提供令牌的函数），或改由其他服务器发送。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^535 5\.7\.139 ",
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        Text(
            "SMTP AUTH is switched off for this mailbox or organisation: its administrator must allow it "
            "(Authenticated SMTP), and the login needs an OAuth token.",
            "该邮箱或组织已关闭 SMTP AUTH：须由管理员启用（Authenticated SMTP），并使用 OAuth 令牌登录。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^530 5\.7\.57 ",
        "530 5.7.57 Client was not authenticated to send mail.",
        Text(
            "Microsoft 365 takes mail only after a login: give a name in the URL and credentials.",
            "Microsoft 365 只在登录后收信：请在 URL 中写明用户名并提供凭据。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^55[04] 5\.(7\.60|2\.252) ",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        Text(
            "This account may not send as the address in From: send with the address of the mailbox, or let the "
            "administrator grant Send As.",
            "该账户无权以 From 中的地址发信：请改用邮箱自己的地址，或由管理员授予“代理发送”权限。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^432 4\.3\.2 .*concurrent connections",
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded; concurrent connections limit exceeded",
        Text(
            "Microsoft 365 allows three connections for one mailbox: make the pool smaller (size=3) and try again.",
            "Microsoft 365 每个邮箱只允许三个并发连接：请把连接池改小（size=3）后重试。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^550 5\.7\.515 ",
        "550 5.7.515 Access denied, sending domain example.org doesn't meet the required authentication level.",
        Text(
            "Outlook takes bulk mail only from domains that pass SPF, DKIM and DMARC: publish and check these records "
            "for the domain in From.",
            "Outlook 只接受通过 SPF、DKIM 和 DMARC 验证的域名群发邮件：请为 From 的域名发布并检查这些记录。",
        ),
    ),
    KnownRefusal(
        "Microsoft",
        r"^550 5\.7\.1 .*\(S3\d{3}\)",
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't "
        "sent. part of their network is on our block list (S3140).",
        Text(
            "Outlook has the address of the sending host on its block list: ask for removal at "
            "https://sender.office.com, or send through a server with a good reputation.",
            "发信主机的地址在 Outlook 的黑名单中："
            "请在 https://sender.office.com 申请移除，或改由信誉良好的服务器发送。",
        ),
    ),
    KnownRefusal(
        "Google",
        r"^535 5\.7\.8 .*(gsmtp|support\.google\.com)",
        "535 5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials - gsmtp",
        Text(
            "Google does not take the password of the account: make an app password (the account needs two-step "
            "verification), or log in with an OAuth token.",
            "Google 不接受账户本身的密码：请创建应用专用密码（账户须开启两步验证），或使用 OAuth 令牌登录。",
        ),
    ),
    KnownRefusal(
        "Google",
        r"^534 5\.7\.(9|14) .*(gsmtp|google)",
        "534 5.7.9 Application-specific password required. "
        "https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp",
        Text(
            "This account has two-step verification: make an app password for the program, or use an OAuth token.",
            "该账户已开启两步验证：请为程序创建应用专用密码，或使用 OAuth 令牌。",
        ),
    ),
    KnownRefusal(
        "Google",
        r"^55\d 5\.7\.26 ",
        "550 5.7.26 Your email has been blocked because the sender is unauthenticated. gsmtp",
        Text(
            "Google takes mail only from domains that pass SPF or "
            "DKIM, and DMARC where there is a policy: publish these "
            "records for the domain in From.",
            "Google 只接受通过 SPF 或 DKIM（有策略时还须通过 DMARC）验证的域名：请为 From 的域名发布这些记录。",
        ),
    ),
    KnownRefusal(
        "Google",
        r"^550 5\.7\.25 ",
        "550 5.7.25 The IP address sending this message does not have a PTR record. gsmtp",
        Text(
            "The address of the sending host has no PTR record that leads back to it: let its owner set one, or send "
            "through another server.",
            "发信主机的地址没有可回指的 PTR 记录：请让地址的管理者设置，或改由其他服务器发送。",
        ),
    ),
    KnownRefusal(
        "Google",
        r"^550 5\.7\.1 .*not authorized to send email directly",
        "550 5.7.1 [192.0.2.1] The IP you're using to send mail "
        "is not authorized to send email directly to our servers.",
        Text(
            'Google takes no mail from dial-up addresses: send through the server of your provider (via="smtps://…"), '
            "not directly.",
            'Google 不接受来自拨号地址的邮件：请通过你的服务商的服务器发送（via="smtps://…"），不要直接投递。',
        ),
    ),
    KnownRefusal(
        "Google",
        r"^(421|450|452|550) [45]\.(4\.5|7\.28|7\.0) .*(limit exceeded|unusual rate)",
        "550 5.4.5 Daily user sending limit exceeded. gsmtp",
        Text(
            "The account or host has sent more than Google allows in "
            "a day: wait up to 24 hours, and spread bulk mail out.",
            "该账户或主机已超过 Google 的每日发信上限：最多等待 24 小时，并把群发邮件分散发送。",
        ),
    ),
    KnownRefusal(
        "Yahoo",
        r"^(421|451) 4\.7\.\d+ .*\[TSS\d\d\]",
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        Text(
            "Yahoo holds mail of this host back for its volume or for complaints: send less at a time and try again "
            "after some hours.",
            "Yahoo 因发信量或投诉而暂缓该主机的邮件：请减少每次的发信量，数小时后重试。",
        ),
    ),
    KnownRefusal(
        "Amazon SES",
        r"^554 .*email address is not verified",
        "554 Message rejected: Email address is not verified. The following identities failed the check: a@example.org",
        Text(
            "Amazon SES sends only from identities that are verified, "
            "and in its sandbox only to such: verify the address "
            "or domain in the console, or ask for production access.",
            "Amazon SES 只能以已验证的身份发信，"
            "在沙盒中也只能发给已验证的地址：请在控制台验证地址或域名，或申请正式权限。",
        ),
    ),
    KnownRefusal(
        "Amazon SES",
        r"^454 .*throttling failure",
        "454 Throttling failure: Maximum sending rate exceeded.",
        Text(
            'The account sends faster than Amazon SES allows: set a rate for the pool (rate="14/s") and try again.',
            '发信速度超过 Amazon SES 的限制：请为连接池设置速率（rate="14/s"）后重试。',
        ),
    ),
    KnownRefusal(
        "QQ",
        r"^535 .*authorization code|^535 .*login fail.*(qq\.com|account is abnormal)",
        "535 Login Fail. Please enter your authorization code to "
        "login. More information in https://service.mail.qq.com",
        Text(
            "QQ Mail takes an authorisation code in place of the "
            "password: make one in the settings of the mailbox, under "
            "POP3/IMAP/SMTP.",
            "QQ 邮箱须用授权码代替密码：请在邮箱设置的“POP3/IMAP/SMTP 服务”中生成授权码。",
        ),
    ),
    KnownRefusal(
        "NetEase",
        r"^553 .*mail from must equal authorized user",
        "553 Mail from must equal authorized user",
        Text(
            "The sender must be the address that has logged in: write it into From and the envelope.",
            "发件人必须与登录的地址一致：请在 From 和信封中使用该地址。",
        ),
    ),
    KnownRefusal(
        "NetEase",
        r"^55[04] .*(user has no permission|DT:SPM)",
        "550 User has no permission",
        Text(
            "The mailbox has SMTP switched off, or the message looks "
            "like spam to NetEase: switch the service on in its "
            "settings and use the authorisation code, or change the text.",
            "邮箱未开启 SMTP 服务，或网易认为邮件可疑：请在设置中开启服务并使用授权码登录，或修改邮件内容。",
        ),
    ),
)


def known_refusal(reply: Reply) -> KnownRefusal | None:
    """The entry for a reply; None if it is none of those that are known."""
    return _found(f"{reply.code} {reply.enhanced + ' ' if reply.enhanced else ''}{reply.text}")


def known_refusal_in(line: str) -> KnownRefusal | None:
    """The entry for the reply that a line of text holds, for example one of a log; None if there is none."""
    start = re.search(r"(?<!\d)[45]\d\d[ -]", line[:_LONGEST])
    return None if start is None else _found(line[start.start() :].replace("-", " ", 1))


def _found(line: str) -> KnownRefusal | None:
    line = " ".join(line[:_LONGEST].split())
    if not line.startswith(("4", "5")):
        return None
    return next((each for each in KNOWN_REFUSALS if re.search(each.pattern, line, re.IGNORECASE)), None)
