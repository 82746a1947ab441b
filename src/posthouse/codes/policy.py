"""The registered enhanced status codes X.7, security and policy, each in English and Chinese.

Over budget: this is data, not logic; the entries follow the rules of ``enhanced``.  Sources: RFC 3463 §3.8, RFC 4954,
RFC 5248, RFC 6710, RFC 7293, RFC 7372, RFC 7505, RFC 8617, RFC 8689.
"""

from __future__ import annotations

from posthouse.codes.model import Registration, Text, Whose

__all__ = ["POLICY_CODES"]

POLICY_CODES: tuple[Registration, ...] = (
    Registration(
        number="7.0",
        classes=(2, 4, 5),
        basic=(220, 235, 450, 454, 500, 501, 503, 504, 530, 535, 550),
        whose=Whose.POLICY,
        source="RFC 3463 §3.8",
        title=Text("Other security status", "其他安全状态"),
        meaning=Text(
            "A matter of security or policy stands in the way, and the receiver says no more about it.",
            "因安全或策略原因受阻，接收SMTP 未作进一步说明。",
        ),
        step=Text(
            "Read the text; log in or begin TLS if it asks for that, else ask the receiver's postmaster.",
            "阅读应答文字；若要求登录或 TLS 则照办，否则联系对方的 postmaster。",
        ),
        success=Text("The security step, such as logging in, succeeded.", "安全步骤（例如登录）已成功。"),
    ),
    Registration(
        number="7.1",
        classes=(4, 5),
        basic=(451, 454, 502, 503, 533, 550, 551),
        whose=Whose.POLICY,
        source="RFC 3463 §3.8",
        title=Text("Not authorised, message refused", "未获授权，邮件被拒绝"),
        meaning=Text(
            "The sender may not send to this destination: relaying denied, a block list, or a filter.",
            "发件人无权向该目的地发送邮件：原因是拒绝中转、黑名单或过滤规则。",
        ),
        step=Text(
            "Log in, or send through the server that serves you; else ask the receiver's postmaster to allow it.",
            "先登录，或改由为你服务的服务器发送；否则请对方的 postmaster 放行。",
        ),
        again=Text(
            "Keep the message queued and read the text; greylisting and rate limits pass by waiting.",
            "把邮件留在队列中，并看应答里的说明；灰名单和限速只需稍后重试。",
        ),
    ),
    Registration(
        number="7.2",
        classes=(5,),
        basic=(550,),
        whose=Whose.POLICY,
        source="RFC 3463 §3.8",
        title=Text("Mailing list not open to the sender", "发件人无权使用该邮件列表"),
        meaning=Text("The sender may not write to this mailing list.", "发件人无权向该邮件列表投递。"),
        step=Text("Join the list, or ask its owner to post the message.", "加入该列表，或请邮件列表管理员代发。"),
    ),
    Registration(
        number="7.3",
        classes=(5,),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.8",
        title=Text("Security conversion not possible", "无法进行安全转换"),
        meaning=Text(
            "The message would have to go from one secure format to another, which is not possible.",
            "邮件须从一种安全格式转为另一种，但无法做到。",
        ),
        step=Text(
            "Send it in a format the receiver's side knows, such as S/MIME or OpenPGP.",
            "改用接收SMTP 支持的格式发送，例如 S/MIME 或 OpenPGP。",
        ),
    ),
    Registration(
        number="7.4",
        classes=(5,),
        basic=(504,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.8",
        title=Text("Security feature not supported", "安全功能不受支持"),
        meaning=Text(
            "The message or the session asks for a security feature that is not supported here.",
            "邮件或会话要求的安全功能在此不受支持。",
        ),
        step=Text(
            "Choose a feature or mechanism that the reply to EHLO announces.",
            "选用 EHLO 应答中列出的功能或机制。",
        ),
    ),
    Registration(
        number="7.5",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.8",
        title=Text("Cryptographic failure", "密码学处理失败"),
        meaning=Text(
            "A signature or encryption on the way could not be handled, because a key is missing or invalid.",
            "途中的签名或加密无法处理，因为密钥缺失或无效。",
        ),
        step=Text("Check keys and certificates of both sides.", "检查双方的密钥和证书。"),
    ),
    Registration(
        number="7.6",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.8",
        title=Text("Cryptographic algorithm not supported", "密码算法不受支持"),
        meaning=Text(
            "A signature or encryption uses an algorithm that the system does not have.",
            "签名或加密使用了系统不具备的算法。",
        ),
        step=Text("Use a common algorithm of today.", "改用当今通用的算法。"),
    ),
    Registration(
        number="7.7",
        classes=(2, 4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.8",
        title=Text("Message integrity failure", "邮件完整性校验失败"),
        meaning=Text(
            "The message was altered or damaged on the way, so that it cannot be validated.",
            "邮件在途中被改动或损坏，无法通过校验。",
        ),
        step=Text("Send it again, and look for the host that changes messages.", "重新发送，并查找改动邮件的主机。"),
        success=Text(
            "The message was delivered although its integrity could not be confirmed.",
            "邮件已送达，但其完整性无法确认。",
        ),
    ),
    Registration(
        number="7.8",
        classes=(5,),
        basic=(535, 554),
        whose=Whose.SENDER,
        source="RFC 4954 §6",
        title=Text("Credentials invalid", "凭据无效"),
        meaning=Text(
            "User name or password is wrong, or they do not suffice for this account.",
            "用户名或密码有误，或不足以使用该账户。",
        ),
        step=Text(
            "Check the credentials with their owner; do not repeat the same ones.",
            "与账户所有者核对凭据；不要反复提交相同的凭据。",
        ),
        note=Text("RFC 4468 used this number for what is X.7.14 today.", "RFC 4468 曾用这个编号表示如今的 X.7.14。"),
    ),
    Registration(
        number="7.9",
        classes=(5,),
        basic=(534,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 4954 §6",
        title=Text("Mechanism too weak", "验证机制过弱"),
        meaning=Text(
            "The authentication mechanism is weaker than the receiver's policy allows for this user.",
            "所用验证机制弱于接收SMTP 对该用户的策略要求。",
        ),
        step=Text("Choose a stronger mechanism of those announced.", "从对方列出的机制中选用更强的。"),
    ),
    Registration(
        number="7.10",
        classes=(5,),
        basic=(523,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 5248 §2.4",
        title=Text("Encryption needed", "需要加密"),
        meaning=Text(
            "The authentication mechanism needs an encrypted channel around it.",
            "该验证机制需要在加密的通讯链路上进行。",
        ),
        step=Text(
            "Begin TLS before authenticating, or use a stronger mechanism.",
            "先启用 TLS 再验证，或使用更强的机制。",
        ),
    ),
    Registration(
        number="7.11",
        classes=(5,),
        basic=(524, 538),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 4954 §6",
        title=Text("Encryption required for this mechanism", "该验证机制要求加密"),
        meaning=Text("The mechanism may be used over an encrypted connection only.", "该机制只能在加密连接上使用。"),
        step=Text("Begin TLS, then authenticate with the same mechanism.", "先启用 TLS，再用同一机制验证。"),
    ),
    Registration(
        number="7.12",
        classes=(4,),
        basic=(422, 432),
        whose=Whose.SENDER,
        source="RFC 4954 §6",
        title=Text("A password transition is needed", "需要先转换密码"),
        meaning=Text(
            "The account must first be moved to the chosen authentication mechanism.",
            "账户须先转换到所选的验证机制。",
        ),
        again=Text(
            "Log in once with the plain password over TLS or change the password, then use the mechanism again.",
            "在 TLS 上用明文密码登录一次，或修改密码，然后再使用该机制。",
        ),
    ),
    Registration(
        number="7.13",
        classes=(5,),
        basic=(525,),
        whose=Whose.SENDER,
        source="RFC 5248 §2.4",
        title=Text("User account disabled", "账户已停用"),
        meaning=Text(
            "The credentials are right, but the account has been disabled by its operator.",
            "凭据正确，但账户已被管理员停用。",
        ),
        step=Text(
            "Contact the operator; asking for the password again does not help.",
            "联系管理员；重新输入密码没有用处。",
        ),
    ),
    Registration(
        number="7.14",
        classes=(5,),
        basic=(535, 554),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 5248 §2.4",
        title=Text("Trust relationship required", "需要信任关系"),
        meaning=Text(
            "The submission server may not fetch the message's content from a third server before the two trust "
            "each other.",
            "提交服务器与第三方服务器建立信任之前，无法从后者取得邮件内容。",
        ),
        step=Text(
            "Send the content itself, or ask the operators to set the trust up.",
            "直接发送内容，或请管理员建立信任关系。",
        ),
    ),
    Registration(
        number="7.15",
        classes=(4, 5),
        basic=(450, 550),
        whose=Whose.POLICY,
        source="RFC 6710 §10",
        title=Text("Priority too low", "优先级过低"),
        meaning=Text(
            "The receiver takes only messages of higher transfer priority, perhaps for a while.",
            "接收SMTP 目前只接收更高传输优先级的邮件，可能只是暂时。",
        ),
        step=Text(
            "Send it with a higher priority if you may, or by another route.",
            "若有权限则提高优先级发送，或改走其他路径。",
        ),
    ),
    Registration(
        number="7.16",
        classes=(4, 5),
        basic=(552,),
        whose=Whose.POLICY,
        source="RFC 6710 §10",
        title=Text("Too big for this priority", "超过该优先级的大小限制"),
        meaning=Text(
            "The message is larger than the receiver takes at this transfer priority.",
            "邮件超过接收SMTP 在该传输优先级下允许的大小。",
        ),
        step=Text(
            "Make the message smaller, or send it with a priority that allows its size.",
            "缩小邮件，或改用允许该大小的优先级。",
        ),
    ),
    Registration(
        number="7.17",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDER,
        source="RFC 7293 §5",
        title=Text("Mailbox owner has changed", "邮箱所有者已变更"),
        meaning=Text(
            "The mailbox has come to another owner since the time the sender named.",
            "从发送SMTP 指定的时间到现在，该邮箱已换了所有者。",
        ),
        step=Text(
            "Do not send the message here; remove the address and ask the person for a new one.",
            "不要再向此地址发送；移除该地址，并向本人询问新地址。",
        ),
    ),
    Registration(
        number="7.18",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDER,
        source="RFC 7293 §5",
        title=Text("Domain owner has changed", "域名所有者已变更"),
        meaning=Text(
            "The whole domain has come to another owner since the time the sender named.",
            "从发送SMTP 指定的时间到现在，整个域名已换了所有者。",
        ),
        step=Text(
            "Do not send the message here; the address now belongs to somebody else.",
            "不要再向此地址发送；该地址现已属于他人。",
        ),
    ),
    Registration(
        number="7.19",
        classes=(5,),
        basic=(550,),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 7293 §5",
        title=Text("Ownership test cannot be completed", "无法完成所有权检验"),
        meaning=Text(
            "The receiver cannot tell whether the mailbox still has the owner the sender means.",
            "接收SMTP 无法判断邮箱是否仍属于发件人所指的人。",
        ),
        step=Text(
            "Decide whether the message may go without that protection; if so, send it without RRVS.",
            "决定邮件是否可以不带此保护发送；若可以，则不使用 RRVS 重发。",
        ),
    ),
    Registration(
        number="7.20",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.1",
        title=Text("No passing DKIM signature", "没有通过验证的 DKIM 签名"),
        meaning=Text(
            "The message has no DKIM signature that verifies, and the receiver wants one.",
            "邮件没有任何能通过验证的 DKIM 签名，而接收SMTP 要求有。",
        ),
        step=Text(
            "Sign with DKIM, publish the key in the DNS, and see that nothing changes the message after signing.",
            "启用 DKIM 签名并在 DNS 中发布公钥，确保签名之后邮件不再被改动。",
        ),
    ),
    Registration(
        number="7.21",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.1",
        title=Text("No acceptable DKIM signature", "没有可接受的 DKIM 签名"),
        meaning=Text(
            "A DKIM signature verifies, but none is acceptable to the receiver's rules.",
            "有 DKIM 签名通过验证，但都不符合接收SMTP 的规则。",
        ),
        step=Text(
            "Sign with the domain, key length and header fields the receiver asks for.",
            "按接收SMTP 要求的域名、密钥长度和邮件头字段签名。",
        ),
    ),
    Registration(
        number="7.22",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.1",
        title=Text("No DKIM signature of the author's domain", "没有作者域名的 DKIM 签名"),
        meaning=Text(
            "DKIM signatures verify, but none belongs to the domain in the From field.",
            "DKIM 签名通过验证，但都不属于 From 字段中的域名。",
        ),
        step=Text("Sign with the domain that stands in From.", "用 From 字段中的域名签名。"),
    ),
    Registration(
        number="7.23",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.2",
        title=Text("SPF validation failed", "SPF 验证未通过"),
        meaning=Text(
            "The sender's domain does not allow this host to send for it.",
            "发件人域名未授权这台主机代为发送。",
        ),
        step=Text(
            "Add the sending host to the domain's SPF record, or send through a host that is in it.",
            "把发送主机加入域名的 SPF 记录，或改由已列入的主机发送。",
        ),
    ),
    Registration(
        number="7.24",
        classes=(4, 5),
        basic=(451, 550),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.2",
        title=Text("SPF validation error", "SPF 验证出错"),
        meaning=Text(
            "The SPF record of the sender's domain could not be evaluated, because of the DNS or of a fault in it.",
            "发件人域名的 SPF 记录无法评估，原因在于 DNS 或记录本身有误。",
        ),
        step=Text(
            "Correct the SPF record: one record, valid terms, at most ten look-ups.",
            "更正 SPF 记录：只有一条、语法有效、查询不超过十次。",
        ),
        again=Text(
            "Keep the message queued and check that the domain's name servers answer.",
            "把邮件留在队列中，并检查该域名的域名服务器是否正常应答。",
        ),
    ),
    Registration(
        number="7.25",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.3",
        title=Text("Reverse DNS failed", "反向 DNS 验证未通过"),
        meaning=Text(
            "The sending host's IP address has no name in the DNS that leads back to it.",
            "发送主机的 IP 地址在 DNS 中没有能对应回来的主机名。",
        ),
        step=Text(
            "Have a PTR record set for the address and an address record for that name.",
            "为该地址设置 PTR 记录，并为对应的主机名设置地址记录。",
        ),
    ),
    Registration(
        number="7.26",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7372 §3.4",
        title=Text("Several authentication checks failed", "多项验证未通过"),
        meaning=Text(
            "The message passed none of the checks the receiver demands, such as SPF, DKIM and DMARC together.",
            "邮件未通过接收SMTP 要求的多项检查，例如 SPF、DKIM 与 DMARC。",
        ),
        step=Text(
            "Set up SPF and DKIM for the domain in From; one that passes and is aligned is often enough.",
            "为 From 中的域名配置 SPF 和 DKIM；其中一项通过并对齐通常就够了。",
        ),
    ),
    Registration(
        number="7.27",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 7505 §4.2",
        title=Text("Sender's domain has a null MX", "发件人域名设有空 MX"),
        meaning=Text(
            "The sender's domain declares that it takes no mail, so no report could be returned to it.",
            "发件人域名声明不接收邮件，因而无法向其退回报告。",
        ),
        step=Text(
            "Send with a domain that takes mail, or remove the null MX.",
            "使用能接收邮件的域名发送，或去掉空 MX 记录。",
        ),
    ),
    Registration(
        number="7.28",
        classes=(4, 5),
        basic=(),
        whose=Whose.POLICY,
        source="RFC 5248 §2",
        title=Text("Mail flood detected", "检测到邮件洪泛"),
        meaning=Text(
            "The message looks like part of a flood of similar mail.",
            "该邮件看起来是大量相似邮件洪泛的一部分。",
        ),
        step=Text(
            "Stop the flow, look for a broken-into account or script, and ask the receiver's postmaster.",
            "停止发送，检查是否有被盗用的账户或失控的脚本，并联系对方的 postmaster。",
        ),
        again=Text(
            "Slow down, look for a broken-into account or script, and try again later.",
            "降低发送速度，检查是否有被盗用的账户或失控的脚本，稍后重试。",
        ),
        note=Text(
            "Registered with IANA by the procedure of RFC 5248; no RFC describes it further.",
            "按 RFC 5248 的程序直接在 IANA 注册；没有 RFC 作进一步说明。",
        ),
    ),
    Registration(
        number="7.29",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 8617 §10.4",
        title=Text("ARC validation failed", "ARC 验证未通过"),
        meaning=Text(
            "The chain of ARC seals, which hosts on the way add, does not verify.",
            "途经主机添加的 ARC 封印链未通过验证。",
        ),
        step=Text(
            "Find the host that altered the message after sealing; sign with DKIM so that the chain matters less.",
            "找出封印之后改动邮件的主机；同时使用 DKIM 签名以减少对该链的依赖。",
        ),
    ),
    Registration(
        number="7.30",
        classes=(5,),
        basic=(550,),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 8689 §7",
        title=Text("REQUIRETLS support required", "要求支持 REQUIRETLS"),
        meaning=Text(
            "The message demands TLS all the way, and no next host promises that.",
            "邮件要求全程使用 TLS，而没有下一跳主机能够承诺。",
        ),
        step=Text(
            "Send it without REQUIRETLS if that is acceptable, or ask the receiver's operator to offer it.",
            "若可以接受则不带 REQUIRETLS 重发，或请对方的管理员提供支持。",
        ),
    ),
)
