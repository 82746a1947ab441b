"""The basic reply codes, each in English and Chinese (RFC 5321 §4.2, RFC 4954 §6, RFC 5248, RFC 7504).

Over budget: this is data, not logic: one entry for each code that a sending SMTP may get in practice.  ``occasion``
must be changed when Posthouse begins or ceases to give a code.
"""

from __future__ import annotations

from posthouse.codes.model import BasicCode, Text, Whose

__all__ = ["BASIC_CODES"]

BASIC_CODES: tuple[BasicCode, ...] = (
    BasicCode(
        code=211,
        title=Text("System status or help summary", "系统状态或帮助摘要"),
        meaning=Text(
            "The text that follows is the receiving SMTP's status, or a summary of what it can do.",
            "后面的文字是接收SMTP 的状态或功能摘要。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Read it; the session stays as it was and the next command may follow.",
            "阅读即可；会话状态不变，可以继续发送下一条命令。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "HELP without a topic: the summary of the commands this listener understands.",
            "收到不带主题的 HELP：列出本监听端口支持的命令。",
        ),
    ),
    BasicCode(
        code=214,
        title=Text("Help on one topic", "某一主题的帮助"),
        meaning=Text(
            "The text that follows explains one command or topic to a person.",
            "后面的文字向人解释某一条命令或某个主题。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Read it; programs can ignore the text and go on with the next command.",
            "阅读即可；程序可以忽略文字，继续发送下一条命令。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text("HELP with a topic it knows, such as HELP MAIL.", "收到带有已知主题的 HELP，例如 HELP MAIL。"),
    ),
    BasicCode(
        code=220,
        title=Text("Service ready", "服务就绪"),
        meaning=Text(
            "The receiving SMTP is ready and names itself; after STARTTLS it means that the TLS handshake may begin.",
            "接收SMTP 已就绪，并报出自己的名称；若是对 STARTTLS 的应答，则表示可以开始 TLS 握手。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Introduce yourself with EHLO; after STARTTLS begin the handshake first.",
            "用 EHLO 介绍自己；若刚发过 STARTTLS，则先进行 TLS 握手。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "The greeting of every new connection that may send mail.",
            "每个获准发送邮件的新连接，都以它为问候语。",
        ),
    ),
    BasicCode(
        code=221,
        title=Text("Closing the connection", "正在关闭连接"),
        meaning=Text(
            "The receiving SMTP has understood QUIT and closes the connection.",
            "接收SMTP 已收到 QUIT，随即关闭连接。",
        ),
        whose=Whose.NOBODY,
        next_step=Text("Close your side too; nothing is left to do.", "关闭本方的连接即可，无需其他操作。"),
        source="RFC 5321 §4.2.3",
        occasion=Text("The answer to QUIT.", "对 QUIT 的应答。"),
    ),
    BasicCode(
        code=235,
        title=Text("Authentication succeeded", "身份验证成功"),
        meaning=Text(
            "The credentials were accepted and the session now acts for that account.",
            "凭据已被接受，此后会话以该账户的身份进行。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Go on with MAIL; if a security layer was negotiated, send EHLO again first.",
            "继续发送 MAIL；如果协商了安全层，则先重新发送 EHLO。",
        ),
        source="RFC 4954 §6",
        occasion=Text(
            "The end of a successful AUTH exchange.",
            "AUTH 验证成功结束时。",
        ),
    ),
    BasicCode(
        code=250,
        title=Text("Done", "操作完成"),
        meaning=Text(
            "The command was carried out. After the end of the content it means more: from here on the receiving "
            "SMTP is responsible for the message.",
            "命令已执行。若是对邮件内容结束的应答，则含义更重：从此刻起由接收SMTP 对这封邮件负责。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Send the next command; after the end of the content remove the accepted recipients from your queue.",
            "发送下一条命令；如果是在内容结束之后收到，则把已被接受的收件人从队列中移除。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "EHLO, HELO, MAIL, RCPT, RSET and NOOP carried out; a chunk received; a message stored, with its queue "
            "id in the text.",
            "EHLO、HELO、MAIL、RCPT、RSET、NOOP 执行成功；收到一个数据块；邮件已落盘保存（文字中带有队列编号）。",
        ),
        breadth=2,
    ),
    BasicCode(
        code=251,
        title=Text("Not here, but will forward", "非本地用户，将代为转发"),
        meaning=Text(
            "The mailbox has moved, and the receiving SMTP takes the message and forwards it to the new address in "
            "the text.",
            "该邮箱已迁走，接收SMTP 仍会收下邮件，并转发到文字中给出的新地址。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Go on as after 250; a person may note the new address for next time.",
            "按 250 同样处理；人可以记下新地址以备下次使用。",
        ),
        source="RFC 5321 §3.4",
        occasion=Text(
            "RCPT or VRFY for a mailbox that has moved and whose mail the configuration forwards.",
            "RCPT 或 VRFY 的邮箱已迁走，且配置为代为转发。",
        ),
    ),
    BasicCode(
        code=252,
        title=Text("Cannot verify, but will try", "无法核实，但会尝试投递"),
        meaning=Text(
            "The receiving SMTP does not say whether the mailbox exists, but takes mail for it and tries to deliver.",
            "接收SMTP 不说明该邮箱是否存在，但会接收发往它的邮件并尝试投递。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Do not read it as a yes or a no; send the message and see.",
            "不要把它当作肯定或否定的答案；直接发送邮件，再看结果。",
        ),
        source="RFC 5321 §3.5.3",
        occasion=Text(
            "VRFY and EXPN where they are not switched on for the listener (RFC 5321 §7.3), VRFY of an address that is "
            "not in a domain of ours, and where the answer needs UTF-8 that was not allowed (2.6.8).",
            "监听端口未开启 VRFY 或 EXPN（RFC 5321 §7.3）；用 VRFY 询问的地址不由本机负责；"
            "以及应答需要 UTF-8 而对方未允许（2.6.8）。",
        ),
    ),
    BasicCode(
        code=334,
        title=Text("Authentication challenge", "身份验证质询"),
        meaning=Text(
            "The receiving SMTP has accepted the mechanism and waits for the next line of the exchange, in base64.",
            "接收SMTP 已接受该验证机制，正等待验证过程的下一行（base64 编码）。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Answer the challenge with one base64 line, or send a single asterisk to give up.",
            "用一行 base64 回答质询，或只发送一个星号以放弃。",
        ),
        source="RFC 4954 §4",
        occasion=Text(
            "AUTH, while the mechanism needs a further line.",
            "AUTH 所选机制还需要后续一行时。",
        ),
    ),
    BasicCode(
        code=354,
        title=Text("Send the content", "请发送邮件内容"),
        meaning=Text(
            "The receiving SMTP waits for the message content, up to a line that holds only a dot.",
            "接收SMTP 正等待邮件内容，直到出现只含一个点的行为止。",
        ),
        whose=Whose.NOBODY,
        next_step=Text(
            "Send header and body with CRLF line ends, double each leading dot, and finish with CRLF.CRLF.",
            "发送邮件头和邮件体，行尾用 CRLF，行首的点要重复一次，最后以 CRLF.CRLF 结束。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text("DATA after at least one accepted recipient.", "至少有一个收件人被接受之后收到 DATA。"),
    ),
    BasicCode(
        code=421,
        title=Text("Service not available, closing", "服务暂不可用，关闭连接"),
        meaning=Text(
            "The receiving SMTP cannot go on now and closes the connection, whatever the command was.",
            "接收SMTP 此刻无法继续服务，无论收到什么命令都会关闭连接。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Keep the message queued and connect again later; fewer connections at once help where the text says "
            "there are too many.",
            "把邮件留在队列中，稍后重新连接；若文字提示连接过多，应减少并发连接数。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "Shutting down, too many connections, too many errors in one session, or nothing received within the "
            "time allowed.",
            "正在停止服务、连接过多、单个会话错误过多，或在限定时间内没有收到数据。",
        ),
    ),
    BasicCode(
        code=432,
        title=Text("A password transition is needed", "需要先转换密码"),
        meaning=Text(
            "The account must first be moved to the chosen authentication mechanism, usually by one log-in that "
            "shows the plain password over TLS.",
            "账户须先转换到所选的验证机制，通常做法是在 TLS 上用明文密码登录一次。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Log in once with PLAIN over TLS or change the password, then use the chosen mechanism again.",
            "在 TLS 上用 PLAIN 机制登录一次，或修改密码，然后再使用所选机制。",
        ),
        source="RFC 4954 §6",
        note=Text("Posthouse has no mechanism that needs such a transition.", "Posthouse 没有需要这种转换的验证机制。"),
    ),
    BasicCode(
        code=450,
        title=Text("Mailbox unavailable for now", "邮箱暂时不可用"),
        meaning=Text(
            "The command cannot be carried out now because the mailbox is busy or blocked for a while by policy.",
            "命令现在无法执行：邮箱正忙，或因策略被暂时阻止。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Keep the message queued and try this recipient again later; greylisting lets the same attempt pass "
            "after some minutes.",
            "把邮件留在队列中，稍后为该收件人重试；若是灰名单，几分钟后同样的尝试即可通过。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "RCPT for a mailbox whose delivery is paused.",
            "RCPT 的邮箱已暂停投递。",
        ),
        breadth=2,
    ),
    BasicCode(
        code=451,
        title=Text("Local error, try later", "本地处理出错，请稍后重试"),
        meaning=Text(
            "The receiving SMTP met an error of its own and gave the action up; the message itself is not at fault.",
            "接收SMTP 自身出错，放弃了这次操作；邮件本身没有问题。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Keep the message queued and try again later; nothing was accepted.",
            "把邮件留在队列中，稍后重试；对方没有接收任何内容。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "Storage, or a look-up that a decision needs, failed for the moment.",
            "存储或决策所需的查询暂时失败。",
        ),
        breadth=2,
    ),
    BasicCode(
        code=452,
        title=Text("Not enough room, or too many recipients", "存储不足或收件人过多"),
        meaning=Text(
            "The receiving SMTP lacks the storage for this now, or takes no more recipients in this transaction.",
            "接收SMTP 目前存储空间不足，或本次邮件事务不再接受更多收件人。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Send the message to the recipients already accepted, and try the others again in another transaction "
            "or later.",
            "先把邮件发给已被接受的收件人，其余收件人放到另一次邮件事务中，或稍后重试。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "The disk is full or nearly so, RCPT goes beyond the limit of recipients in one transaction (4.5.3), or "
            "the mailbox is over quota in a domain that puts mail off (4.2.2).",
            "磁盘已满或即将写满；RCPT 超出单次邮件事务的收件人上限（4.5.3）；或邮箱超出配额，而其域设为暂缓（4.2.2）。",
        ),
        breadth=1,
    ),
    BasicCode(
        code=454,
        title=Text("Temporary failure of TLS or authentication", "TLS 或身份验证暂时失败"),
        meaning=Text(
            "TLS or the authentication service is not available just now; it does not say that the credentials are "
            "wrong.",
            "TLS 或身份验证服务此刻不可用；这并不表示凭据有误。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Try again later; do not fall back to plain text where TLS is required, and do not ask for a new password.",
            "稍后重试；要求 TLS 时不要退回明文，也不必要求用户重新输入密码。",
        ),
        source="RFC 4954 §6",
        occasion=Text(
            "AUTH while the accounts cannot be read (4.7.0); never for STARTTLS.",
            "AUTH 时账户信息无法读取（4.7.0）；不会用于 STARTTLS。",
        ),
        note=Text(
            "RFC 3207 §4 gives it to STARTTLS as well.",
            "RFC 3207 §4 也把它用于 STARTTLS。",
        ),
        breadth=1,
    ),
    BasicCode(
        code=455,
        title=Text("Cannot honour the parameters now", "暂时无法满足参数要求"),
        meaning=Text(
            "The receiving SMTP knows the parameters of MAIL or RCPT but cannot honour them at the moment.",
            "接收SMTP 认识 MAIL 或 RCPT 的参数，但此刻无法满足。",
        ),
        whose=Whose.RECEIVING_SYSTEM,
        next_step=Text(
            "Try again later with the same parameters, or at once without those the message does not need.",
            "稍后用同样的参数重试，或立即去掉邮件并不需要的参数重试。",
        ),
        source="RFC 5321 §4.2.3",
        note=Text(
            "Posthouse honours the parameters it offers or refuses them for good with 504 or 555.",
            "Posthouse 对所提供的参数要么照办，要么以 504 或 555 永久拒绝。",
        ),
    ),
    BasicCode(
        code=500,
        title=Text("Command not recognised", "无法识别的命令"),
        meaning=Text(
            "The line is no command that the receiving SMTP knows: a wrong verb, a line that is too long, or a "
            "wrong line end.",
            "接收SMTP 不认识这一行：命令字有误、行过长，或行尾不正确。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Correct the command; lines end with CRLF and stay within 512 octets unless an extension allows more.",
            "更正命令；每行以 CRLF 结束，且除非有扩展允许，长度不超过 512 字节。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "An unknown verb, a command line that is too long, or a line ended by a bare LF or CR.",
            "未知的命令、命令行过长，或以单独的 LF 或 CR 结束的行。",
        ),
    ),
    BasicCode(
        code=501,
        title=Text("Error in the arguments", "参数语法错误"),
        meaning=Text(
            "The command is known, but what follows it does not have the form the RFC demands.",
            "命令可以识别，但其后的内容不符合 RFC 规定的格式。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Correct the argument: addresses stand in angle brackets, parameter values follow their grammar.",
            "更正参数：地址要放在尖括号里，参数值须符合各自的语法。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "A path, domain or parameter value that cannot be parsed, or an argument where none may stand. Where the "
            "listener is lenient, some paths are accepted that break the grammar.",
            "路径、域名或参数值无法解析，或在不应有参数之处带了参数。监听端口设为宽松（lenient）时，会接受某些不合语法的路径。",
        ),
        breadth=1,
    ),
    BasicCode(
        code=502,
        title=Text("Command not implemented", "命令未实现"),
        meaning=Text(
            "The receiving SMTP knows the command but does not offer it here.",
            "接收SMTP 认识这条命令，但在此处不提供。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Do without it; use only what the reply to EHLO announces.",
            "不要使用该命令；只使用 EHLO 应答中列出的功能。",
        ),
        source="RFC 5321 §4.2.4",
        occasion=Text(
            "A command that is known and not offered: STARTTLS, AUTH, BDAT or ETRN where EHLO does not announce it, "
            "and the old commands SEND, SOML, SAML and TURN.",
            "认识但不提供的命令：EHLO 未列出的 STARTTLS、AUTH、BDAT、ETRN，以及旧命令 SEND、SOML、SAML、TURN。",
        ),
    ),
    BasicCode(
        code=503,
        title=Text("Wrong order of commands", "命令顺序错误"),
        meaning=Text(
            "The command is valid but not at this point of the session, such as RCPT before MAIL.",
            "命令本身有效，但不应在会话的此刻出现，例如在 MAIL 之前发送 RCPT。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Send the missing command first: EHLO, then MAIL, RCPT, DATA; RSET starts a transaction anew.",
            "先补发缺少的命令：依次为 EHLO、MAIL、RCPT、DATA；RSET 可重新开始邮件事务。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "A command that the table of states does not allow now, such as MAIL before EHLO or DATA without RCPT.",
            "状态表此刻不允许的命令，例如在 EHLO 之前发 MAIL，或没有 RCPT 就发 DATA。",
        ),
    ),
    BasicCode(
        code=504,
        title=Text("Parameter value not implemented", "参数值未实现"),
        meaning=Text(
            "The command and its parameter are known, but this value or mechanism is not implemented.",
            "命令和参数都认识，但这个取值或机制未实现。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Choose a value or mechanism that the reply to EHLO announces.",
            "改用 EHLO 应答中列出的取值或机制。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "HELP with a topic that there is nothing to say about.",
            "收到 HELP，但其主题没有可说明的内容。",
        ),
    ),
    BasicCode(
        code=521,
        title=Text("This host takes no mail", "本主机不接收邮件"),
        meaning=Text(
            "This host never takes mail, and says so in its greeting.",
            "这台主机从不接收邮件，并在问候语中说明。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Treat it as final for this host; correct the address or the DNS records that led here.",
            "对该主机视为最终结果；更正收件人地址，或更正把邮件引到这里的 DNS 记录。",
        ),
        source="RFC 7504 §3",
        occasion=Text(
            "The greeting of a listener that the configuration calls closed.",
            "监听端口在配置中设为 closed 时的问候语。",
        ),
    ),
    BasicCode(
        code=523,
        title=Text("Encryption needed", "需要加密"),
        meaning=Text(
            "The chosen authentication mechanism may only be used inside an encrypted channel.",
            "所选验证机制只能在加密的通讯链路上使用。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Begin TLS with STARTTLS or use the implicit-TLS port, then authenticate, or choose a stronger mechanism.",
            "先用 STARTTLS 启用 TLS，或改用隐式 TLS 端口再验证，也可以选用更强的机制。",
        ),
        source="RFC 5248 §2.4",
        note=Text("Posthouse says 538 in this case (RFC 4954 §6).", "Posthouse 在这种情况下应答 538（RFC 4954 §6）。"),
    ),
    BasicCode(
        code=530,
        title=Text("Authentication or TLS required first", "须先通过验证或启用 TLS"),
        meaning=Text(
            "The receiving SMTP does nothing for this session before it has authenticated, or before STARTTLS, as "
            "the text says.",
            "在会话通过身份验证之前，或按文字所述在 STARTTLS 之前，接收SMTP 不会执行该命令。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Begin TLS if it is offered, log in with AUTH, then repeat the command.",
            "若对方提供则先启用 TLS，用 AUTH 登录，然后重发命令。",
        ),
        source="RFC 4954 §6",
        occasion=Text(
            "MAIL where a login is required and the client, outside the trusted networks, has not logged in; MAIL or "
            "AUTH before STARTTLS where TLS is required.",
            "监听端口要求登录，而不在可信网络中的客户端未登录就发送 MAIL；"
            "或要求 TLS 时，在 STARTTLS 之前发送 MAIL 或 AUTH。",
        ),
        note=Text(
            "RFC 3207 §4 gives it to plain text where TLS is required.",
            "RFC 3207 §4 在必须使用 TLS 时对明文会话给出它。",
        ),
    ),
    BasicCode(
        code=534,
        title=Text("Mechanism too weak", "验证机制过弱"),
        meaning=Text(
            "The chosen authentication mechanism is weaker than the receiver's policy allows for this account.",
            "所选验证机制弱于接收SMTP 对该账户的策略要求。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Choose a stronger mechanism of those announced, such as SCRAM, or an application password where the "
            "provider wants one.",
            "从对方列出的机制中选用更强的，例如 SCRAM；若服务商要求，则使用应用专用密码。",
        ),
        source="RFC 4954 §6",
        note=Text(
            "Posthouse offers no mechanism too weak for an account.",
            "Posthouse 不提供过弱的验证机制。",
        ),
    ),
    BasicCode(
        code=535,
        title=Text("Credentials rejected", "凭据无效"),
        meaning=Text(
            "The user name or the password is wrong, or the account may not send.",
            "用户名或密码有误，或该账户无权发送邮件。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Check user name and password with their owner; do not repeat the same ones, many receivers block that.",
            "与账户所有者核对用户名和密码；不要反复提交相同的凭据，许多接收SMTP 会因此封禁。",
        ),
        source="RFC 4954 §6",
        occasion=Text(
            "AUTH with a wrong name or password, or with an account that is switched off (5.7.8).",
            "AUTH 的用户名或密码有误，或账户已停用（5.7.8）。",
        ),
    ),
    BasicCode(
        code=538,
        title=Text("Encryption required for this mechanism", "该验证机制要求加密"),
        meaning=Text(
            "The mechanism would show the password, and the connection is not encrypted.",
            "该机制会暴露密码，而当前连接没有加密。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Begin TLS first, then authenticate with the same mechanism.",
            "先启用 TLS，再用同一机制进行验证。",
        ),
        source="RFC 4954 §6",
        occasion=Text(
            "AUTH with a mechanism that shows the password, before STARTTLS (5.7.11).",
            "在 STARTTLS 之前用会暴露密码的机制进行 AUTH（5.7.11）。",
        ),
    ),
    BasicCode(
        code=541,
        title=Text("Refused by a filter", "被过滤系统拒收"),
        meaning=Text(
            "Some mail filters answer so when they take a message for spam or block the sender.",
            "部分邮件过滤系统把邮件判为垃圾邮件，或屏蔽发件人时，这样应答。",
        ),
        whose=Whose.POLICY,
        next_step=Text(
            "Read the text, check the sending host's reputation and authentication, and ask the recipient's "
            "postmaster.",
            "阅读应答文字，检查发送主机的信誉与身份验证设置，并联系对方的 postmaster。",
        ),
        source="RFC 5321 §4.2.1",
        note=Text(
            "No RFC defines 541; only its first digit, a permanent refusal, is certain.",
            "没有 RFC 定义 541；可以确定的只有首位数字所表示的永久拒绝。",
        ),
        breadth=1,
        registered=False,
    ),
    BasicCode(
        code=550,
        title=Text("Mailbox unavailable or refused", "邮箱不可用或被拒绝"),
        meaning=Text(
            "The action was refused for good: no such mailbox, no access to it, or a rule of the receiver forbids it.",
            "操作被永久拒绝：没有这个邮箱、无权访问，或接收SMTP 的规则不允许。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Do not send it again unchanged; correct the address, or ask the receiver's postmaster where a rule "
            "refused it.",
            "不要原样重发；更正地址，若是规则拒绝则联系对方的 postmaster。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "RCPT for a mailbox that does not exist (5.1.1), or relaying denied (5.7.1).",
            "RCPT 的邮箱不存在（5.1.1），或拒绝中转（5.7.1）。",
        ),
        breadth=2,
    ),
    BasicCode(
        code=551,
        title=Text("Not here, try the new address", "非本地用户，请改用新地址"),
        meaning=Text(
            "The mailbox has moved, and the receiving SMTP does not forward but names the new address.",
            "该邮箱已迁走，接收SMTP 不代为转发，只告知新地址。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Send the message to the address in the text, after a person has found it plausible.",
            "由人确认可信之后，把邮件发往文字中给出的地址。",
        ),
        source="RFC 5321 §3.4",
        occasion=Text(
            "RCPT or VRFY for a mailbox that has moved, where the configuration tells the new address instead of "
            "forwarding.",
            "RCPT 或 VRFY 的邮箱已迁走，且配置为告知新地址而不转发。",
        ),
    ),
    BasicCode(
        code=552,
        title=Text("Too large, or no room left", "邮件过大或空间已满"),
        meaning=Text(
            "The message is larger than the receiver takes, or the mailbox has no room for it.",
            "邮件超过接收SMTP 允许的大小，或邮箱容量不足。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Make the message smaller or send a link; if the mailbox is full, reach the recipient another way.",
            "缩小邮件或改发链接；若邮箱已满，请用其他方式联系收件人。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "The SIZE declared with MAIL, or the content as counted, is above the limit (5.3.4), or the mailbox is "
            "over quota (5.2.2).",
            "MAIL 声明的 SIZE 或实际内容超过上限（5.3.4），或邮箱超出配额（5.2.2）。",
        ),
        note=Text(
            "Older receivers also give 552 for too many recipients; RFC 5321 §4.5.3.1.10 asks to treat that as "
            "temporary.",
            "较旧的接收SMTP 也用 552 表示收件人过多；RFC 5321 §4.5.3.1.10 要求将其视为暂时失败。",
        ),
        breadth=1,
    ),
    BasicCode(
        code=553,
        title=Text("Mailbox name not allowed", "不允许使用该邮箱名"),
        meaning=Text(
            "The address cannot be used as it is written: its form is not allowed here, or it fits several mailboxes.",
            "地址不能这样写：这里不接受这种形式，或者它对应多个邮箱。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Correct the address; for non-ASCII addresses use a path that offers SMTPUTF8.",
            "更正地址；非 ASCII 地址须经由支持 SMTPUTF8 的路径发送。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "A non-ASCII address without SMTPUTF8, or VRFY with a name that fits several mailboxes.",
            "未声明 SMTPUTF8 却使用非 ASCII 地址，或 VRFY 的名称对应多个邮箱。",
        ),
        breadth=1,
    ),
    BasicCode(
        code=554,
        title=Text("Transaction failed", "邮件事务失败"),
        meaning=Text(
            "The transaction is refused for good, and the text says why; as a greeting it means that this client "
            "gets no SMTP service here.",
            "邮件事务被永久拒绝，原因见文字说明；若出现在问候语中，则表示此处不向该客户端提供 SMTP 服务。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Read the text, remove the cause, and do not send the same message again before that.",
            "先看应答里的说明，消除原因，再重发邮件。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "DATA without a valid recipient, a message that went through too many hosts (5.4.6), refused content, or a "
            "bare CR or LF in the content where the listener is strict (5.5.2, 5.6.0).",
            "没有有效收件人就发送 DATA、邮件经过的主机过多（5.4.6）、内容被拒绝，或监听端口为严格（strict）时内容中"
            "有单独的 CR 或 LF（5.5.2、5.6.0）。",
        ),
        breadth=2,
    ),
    BasicCode(
        code=555,
        title=Text("Parameter not recognised", "无法识别的参数"),
        meaning=Text(
            "MAIL or RCPT carried a parameter that the receiving SMTP does not know or does not offer.",
            "MAIL 或 RCPT 带有接收SMTP 不认识或未提供的参数。",
        ),
        whose=Whose.SENDING_SYSTEM,
        next_step=Text(
            "Send the command again without that parameter; only those announced after EHLO may be used.",
            "去掉该参数后重发命令；只能使用 EHLO 应答中列出的扩展参数。",
        ),
        source="RFC 5321 §4.2.3",
        occasion=Text(
            "MAIL or RCPT with a parameter of an extension that the listener does not announce.",
            "MAIL 或 RCPT 带有监听端口未声明的扩展参数。",
        ),
    ),
    BasicCode(
        code=556,
        title=Text("The domain takes no mail", "该域名不接收邮件"),
        meaning=Text(
            "The recipient's domain says in the DNS, by a null MX, that it never takes mail.",
            "收件人域名在 DNS 中以空 MX 记录声明自己从不接收邮件。",
        ),
        whose=Whose.SENDER,
        next_step=Text(
            "Treat it as final and correct the address; no other host can take this mail either.",
            "视为最终结果并更正地址；其他主机同样无法接收这封邮件。",
        ),
        source="RFC 7504 §4",
        occasion=Text(
            "As the sender: the failure recorded for a queued recipient whose domain publishes a null MX.",
            "作为发送SMTP：队列中某位收件人的域设有空 MX 时，以此记录失败。",
        ),
    ),
)
