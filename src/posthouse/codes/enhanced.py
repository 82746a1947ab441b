"""The registered enhanced status codes X.0 to X.6, each in English and Chinese (RFC 3463, RFC 5248 and later).

Over budget: this is data, not logic; X.7, security and policy, is in ``policy``.  One entry is one row of the IANA
registry.  The registry seldom names the classes of a row, so ``classes`` are those that the defining RFC calls useful,
those of the associated reply codes, and those that Posthouse gives; a ``note`` says if these differ.
"""

from __future__ import annotations

from posthouse.codes.model import Registration, Text, Whose

__all__ = ["ENHANCED_CODES"]

ENHANCED_CODES: tuple[Registration, ...] = (
    Registration(
        number="0.0",
        classes=(2, 4, 5),
        basic=(),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.1",
        title=Text("Other or undefined status", "其他或未定义的状态"),
        meaning=Text("Only the class is known; nothing more specific is said.", "只知道类别，没有更具体的说明。"),
        step=Text(
            "Read the reply's text, which is all there is to go by, and ask the receiver's postmaster if it does "
            "not help.",
            "阅读应答文字，这是唯一的线索；若无帮助，联系对方的 postmaster。",
        ),
        success=Text(
            "The command was carried out. After the end of the content it means that the message is now the "
            "receiver's responsibility.",
            "命令已执行。若是对内容结束的应答，则表示邮件此后由接收SMTP 负责。",
        ),
    ),
    Registration(
        number="1.0",
        classes=(2, 4, 5),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("Other address status", "其他地址状态"),
        meaning=Text(
            "Something about an address is wrong, without saying what.",
            "某个地址有问题，但未说明具体原因。",
        ),
        step=Text(
            "Check the sending and the receiving address named in the text.",
            "检查文字中提到的发件人地址和收件人地址。",
        ),
        success=Text(
            "The address was accepted; receivers give this most often for MAIL.",
            "地址已被接受；接收SMTP 通常在 MAIL 之后给出。",
        ),
    ),
    Registration(
        number="1.1",
        classes=(4, 5),
        basic=(451, 550),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("No such mailbox", "邮箱不存在"),
        meaning=Text(
            "The domain is right, but it has no mailbox of this name.",
            "域名正确，但其中没有这个名称的邮箱。",
        ),
        step=Text(
            "Correct the part before the @, and remove the address from lists that keep failing.",
            "更正 @ 之前的部分，并从邮件列表中移除屡次失败的地址。",
        ),
        again=Text(
            "Keep the message queued; the receiver cannot look the mailbox up now, or wants to see a second attempt.",
            "把邮件留在队列中；接收SMTP 暂时无法查询该邮箱，或希望看到再次尝试。",
        ),
        note=Text(
            "RFC 3463 means it for permanent failures; the registry also associates 451, and receivers that cannot "
            "verify a mailbox for the moment give 4.1.1.",
            "RFC 3463 只用于永久失败；注册表还关联了 451，暂时无法核实邮箱的接收SMTP 会给出 4.1.1。",
        ),
    ),
    Registration(
        number="1.2",
        classes=(5,),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("No such domain, or it takes no mail", "域名不存在或不接收邮件"),
        meaning=Text("The part after the @ does not exist, or takes no mail.", "@ 之后的域名不存在，或不接收邮件。"),
        step=Text(
            "Correct the domain in the address; look its MX records up if it seems right.",
            "更正地址中的域名；若看起来无误，则查询其 MX 记录。",
        ),
    ),
    Registration(
        number="1.3",
        classes=(5,),
        basic=(501,),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("Recipient address malformed", "收件人地址语法错误"),
        meaning=Text("The recipient's address does not follow the grammar.", "收件人地址不符合语法。"),
        step=Text(
            "Correct the address: no blanks, one @, balanced quotes, a valid domain.",
            "更正地址：不含空格、只有一个 @、引号成对、域名有效。",
        ),
    ),
    Registration(
        number="1.4",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("Recipient address ambiguous", "收件人地址不明确"),
        meaning=Text("The address fits more than one mailbox of the receiver.", "该地址对应对方的多个邮箱。"),
        step=Text("Use the full address of the mailbox that is meant.", "使用目标邮箱的完整地址。"),
    ),
    Registration(
        number="1.5",
        classes=(2,),
        basic=(250,),
        whose=Whose.NOBODY,
        source="RFC 3463 §3.2",
        title=Text("Recipient address valid", "收件人地址有效"),
        meaning=Text("The recipient's address is valid and accepted.", "收件人地址有效，已被接受。"),
    ),
    Registration(
        number="1.6",
        classes=(5,),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("Mailbox has moved, no new address", "邮箱已迁走，无新地址"),
        meaning=Text(
            "The mailbox existed once, and its mail is no longer taken here.",
            "该邮箱曾经存在，但这里不再接收发往它的邮件。",
        ),
        step=Text(
            "Ask the recipient for the new address by another way; where the reply names one, use that.",
            "通过其他方式向收件人询问新地址；若应答中已给出，则改用它。",
        ),
    ),
    Registration(
        number="1.7",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.2",
        title=Text("Sender address malformed", "发件人地址语法错误"),
        meaning=Text("The sender's address in MAIL does not follow the grammar.", "MAIL 中的发件人地址不符合语法。"),
        step=Text(
            "Correct the envelope's sender address in the program that sends.",
            "在发送程序中更正信封上的发件人地址。",
        ),
    ),
    Registration(
        number="1.8",
        classes=(4, 5),
        basic=(451, 501),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.2",
        title=Text("Sender's domain bad", "发件人域名有误"),
        meaning=Text(
            "The domain of the sender's address does not exist, or takes no mail, so that no report could be returned.",
            "发件人地址的域名不存在或不接收邮件，因而无法退回投递报告。",
        ),
        step=Text(
            "Use a sender address whose domain has MX or address records.",
            "使用域名带有 MX 或地址记录的发件人地址。",
        ),
        again=Text(
            "Keep the message queued and see that the sender's domain resolves in the DNS.",
            "把邮件留在队列中，并确认发件人域名能在 DNS 中解析。",
        ),
    ),
    Registration(
        number="1.9",
        classes=(2,),
        basic=(),
        whose=Whose.NOBODY,
        source="RFC 3886 §3.3.4",
        title=Text("Relayed to a system that cannot track", "已转交给不支持跟踪的系统"),
        meaning=Text(
            "The address is valid, and the message went on to a system that cannot report more about it.",
            "地址有效，邮件已转交给无法提供后续信息的系统。",
        ),
        step=Text(
            "Expect no further tracking; ask the recipient if certainty is needed.",
            "不会再有跟踪信息；如需确认请询问收件人。",
        ),
    ),
    Registration(
        number="1.10",
        classes=(5,),
        basic=(556,),
        whose=Whose.SENDER,
        source="RFC 7505 §4.1",
        title=Text("Recipient's domain has a null MX", "收件人域名设有空 MX"),
        meaning=Text(
            "The recipient's domain declares in the DNS that it takes no mail at all.",
            "收件人域名在 DNS 中声明自己完全不接收邮件。",
        ),
        step=Text(
            "Correct the address; no attempt at any host of this domain can succeed.",
            "更正地址；向该域名的任何主机尝试都不会成功。",
        ),
    ),
    Registration(
        number="2.0",
        classes=(2, 4, 5),
        basic=(),
        whose=Whose.RECIPIENT,
        source="RFC 3463 §3.3",
        title=Text("Other mailbox status", "其他邮箱状态"),
        meaning=Text(
            "The mailbox exists, but something about it keeps this message out.",
            "邮箱存在，但某种状况使它无法接收这封邮件。",
        ),
        step=Text(
            "Tell the recipient by another way; the mailbox is theirs to repair.",
            "通过其他方式告知收件人，由其处理邮箱问题。",
        ),
        success=Text("The mailbox has taken the message.", "邮箱已收下邮件。"),
    ),
    Registration(
        number="2.1",
        classes=(4, 5),
        basic=(),
        whose=Whose.RECIPIENT,
        source="RFC 3463 §3.3",
        title=Text("Mailbox disabled", "邮箱已停用"),
        meaning=Text(
            "The mailbox exists but takes no messages, for a while or for good.",
            "邮箱存在，但暂时或永久不接收邮件。",
        ),
        step=Text(
            "Reach the recipient by another way and stop sending to this mailbox.",
            "通过其他方式联系收件人，停止向该邮箱发送邮件。",
        ),
    ),
    Registration(
        number="2.2",
        classes=(4, 5),
        basic=(552,),
        whose=Whose.RECIPIENT,
        source="RFC 3463 §3.3",
        title=Text("Mailbox full", "邮箱已满"),
        meaning=Text("The mailbox has used up its quota or its disk.", "邮箱已用完配额或磁盘空间。"),
        step=Text(
            "Tell the recipient by another way to make room, then send the message again.",
            "通过其他方式请收件人清理空间，然后重新发送。",
        ),
        again=Text(
            "Keep the message queued; it passes when the recipient has made room.",
            "把邮件留在队列中；收件人清理空间后即可送达。",
        ),
        note=Text(
            "RFC 3463 means it for temporary failures; the registry associates 552, and many receivers give 5.2.2.",
            "RFC 3463 用于暂时失败；注册表关联了 552，许多接收SMTP 会给出 5.2.2。",
        ),
    ),
    Registration(
        number="2.3",
        classes=(5,),
        basic=(552,),
        whose=Whose.SENDER,
        source="RFC 3463 §3.3",
        title=Text("Too large for this mailbox", "超过该邮箱的大小限制"),
        meaning=Text("The message is larger than this one mailbox takes.", "邮件超过了这个邮箱允许的大小。"),
        step=Text("Send less, in parts, or a link to the large file.", "减小邮件、分多封发送，或改发大文件的链接。"),
    ),
    Registration(
        number="2.4",
        classes=(4, 5),
        basic=(450, 452),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.3",
        title=Text("Mailing list cannot be expanded", "邮件列表无法展开"),
        meaning=Text(
            "The address is a mailing list, and the receiver could not expand it to its members.",
            "该地址是邮件列表，接收SMTP 无法展开其成员。",
        ),
        step=Text(
            "Ask the list's owner; the list is broken at the receiver.",
            "联系邮件列表管理员；对方的邮件列表存在故障。",
        ),
    ),
    Registration(
        number="3.0",
        classes=(2, 4, 5),
        basic=(221, 250, 421, 451, 550, 554),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.4",
        title=Text("Other mail system status", "其他邮件系统状态"),
        meaning=Text(
            "Something about the receiving system itself, not the message, stands in the way.",
            "问题出在接收系统本身，而不在邮件。",
        ),
        step=Text(
            "Ask the receiver's postmaster; sending again unchanged does not help.",
            "联系对方的 postmaster；原样重发没有用处。",
        ),
        success=Text("The receiving system did what was asked.", "接收系统已完成请求。"),
    ),
    Registration(
        number="3.1",
        classes=(4,),
        basic=(452,),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.4",
        title=Text("Mail system full", "邮件系统存储已满"),
        meaning=Text(
            "The receiving system's storage is full, and the recipient can do nothing about it.",
            "接收系统的存储已满，收件人对此无能为力。",
        ),
    ),
    Registration(
        number="3.2",
        classes=(4, 5),
        basic=(453, 521),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.4",
        title=Text("System takes no mail now", "系统目前不接收邮件"),
        meaning=Text(
            "The receiving host takes no messages: shutting down, overloaded, under maintenance, or never meant "
            "for mail.",
            "接收主机不接收邮件：正在停机、负载过高、维护中，或本来就不用于接收邮件。",
        ),
        step=Text(
            "Treat this host as one without mail service and correct the address or its DNS records.",
            "把该主机视为不接收邮件的主机，更正地址或其 DNS 记录。",
        ),
    ),
    Registration(
        number="3.3",
        classes=(4, 5),
        basic=(),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.4",
        title=Text("Feature not supported", "所需功能不受支持"),
        meaning=Text(
            "The message asks for a feature that the receiving system does not have.",
            "邮件要求的某项功能接收系统不具备。",
        ),
        step=Text(
            "Send it without that feature, or by a route that has it.",
            "不使用该功能发送，或改走支持它的路径。",
        ),
    ),
    Registration(
        number="3.4",
        classes=(5,),
        basic=(552, 554),
        whose=Whose.SENDER,
        source="RFC 3463 §3.4",
        title=Text("Message too big for the system", "邮件超过系统大小限制"),
        meaning=Text(
            "The message is larger than the receiving system takes for anyone.",
            "邮件超过了接收系统的统一大小限制。",
        ),
        step=Text(
            "Make it smaller or send a link; the limit is often in the SIZE line of the reply to EHLO.",
            "缩小邮件或改发链接；EHLO 应答的 SIZE 行通常给出上限。",
        ),
    ),
    Registration(
        number="3.5",
        classes=(4, 5),
        basic=(),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.4",
        title=Text("System wrongly configured", "系统配置有误"),
        meaning=Text(
            "The receiving system is configured in a way that keeps it from taking this message.",
            "接收系统的配置使其无法接收这封邮件。",
        ),
        step=Text("Tell the receiver's postmaster, with the whole reply.", "把完整的应答告知对方的 postmaster。"),
    ),
    Registration(
        number="3.6",
        classes=(2,),
        basic=(250, 251),
        whose=Whose.NOBODY,
        source="RFC 6710 §10",
        title=Text("Priority was changed", "优先级已被更改"),
        meaning=Text(
            "The message is accepted, but with another transfer priority than the one asked for; the text names it.",
            "邮件已被接受，但传输优先级与请求的不同；新优先级见文字。",
        ),
        step=Text("Go on; note the new priority if it matters.", "继续即可；如有需要请留意新的优先级。"),
    ),
    Registration(
        number="4.0",
        classes=(4, 5),
        basic=(),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("Other network or routing status", "其他网络或路由状态"),
        meaning=Text(
            "Something between the two systems failed, without saying what.",
            "双方系统之间出现问题，但未说明具体原因。",
        ),
        step=Text(
            "Check the route: DNS records, firewall, and the host the message was sent to.",
            "检查路由：DNS 记录、防火墙以及邮件发往的主机。",
        ),
    ),
    Registration(
        number="4.1",
        classes=(4,),
        basic=(451,),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("No answer from the host", "主机没有应答"),
        meaning=Text("The next host did not answer the attempt to connect.", "连接下一跳主机时，对方没有应答。"),
    ),
    Registration(
        number="4.2",
        classes=(4,),
        basic=(421,),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("Bad connection", "连接中断"),
        meaning=Text(
            "The connection was made but broke or timed out before the transaction was over.",
            "连接已建立，但在邮件事务完成之前中断或超时。",
        ),
        again=Text(
            "Try again later; if it broke after the final dot, the receiver may have the message already, and a "
            "duplicate is possible.",
            "稍后重试；如果在结尾的点之后中断，接收SMTP 可能已收到邮件，重发可能造成重复。",
        ),
    ),
    Registration(
        number="4.3",
        classes=(4, 5),
        basic=(451, 550),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("Directory server failed", "目录服务器故障"),
        meaning=Text(
            "A directory the route depends on, most often the DNS, gave no answer.",
            "确定路由所依赖的目录服务（多为 DNS）没有应答。",
        ),
        step=Text(
            "Check the domain's name servers; nothing can be sent before they answer.",
            "检查该域名的域名服务器；它们恢复之前无法发送。",
        ),
    ),
    Registration(
        number="4.4",
        classes=(4, 5),
        basic=(),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("Unable to route", "无法确定路由"),
        meaning=Text(
            "No next host could be found: the domain has no usable MX or address record.",
            "找不到下一跳主机：域名没有可用的 MX 或地址记录。",
        ),
        step=Text(
            "Correct the domain in the address, or have its owner publish MX records.",
            "更正地址中的域名，或请其所有者发布 MX 记录。",
        ),
    ),
    Registration(
        number="4.5",
        classes=(4,),
        basic=(451,),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 3463 §3.5",
        title=Text("Mail system congested", "邮件系统拥塞"),
        meaning=Text("The mail system is too busy to take the message now.", "邮件系统过于繁忙，目前无法接收邮件。"),
        again=Text(
            "Try again later with fewer connections and fewer messages at once.",
            "稍后重试，并减少并发连接数和同时发送的邮件数。",
        ),
    ),
    Registration(
        number="4.6",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.5",
        title=Text("Routing loop", "路由环路"),
        meaning=Text(
            "The message went from host to host too many times; routes or forwardings point in a circle.",
            "邮件在主机之间中转的次数过多；路由或转发设置形成了环路。",
        ),
        step=Text(
            "Read the Received fields to find the circle, and correct the forwarding or the DNS records.",
            "查看 Received 字段找出环路，并更正转发设置或 DNS 记录。",
        ),
        again=Text(
            "Correct the forwarding or the DNS records while the message waits; the Received fields show the circle.",
            "在邮件等待期间更正转发设置或 DNS 记录；Received 字段会显示环路所在。",
        ),
        note=Text(
            "RFC 3463 means it for temporary failures; receivers, Posthouse among them, refuse a looping message "
            "for good with 554 5.4.6.",
            "RFC 3463 用于暂时失败；包括 Posthouse 在内的接收SMTP 以 554 5.4.6 永久拒绝陷入环路的邮件。",
        ),
    ),
    Registration(
        number="4.7",
        classes=(4, 5),
        basic=(),
        whose=Whose.NETWORK,
        source="RFC 3463 §3.5",
        title=Text("Delivery time expired", "投递超时"),
        meaning=Text(
            "The message could not be delivered within the time allowed for it.",
            "邮件未能在允许的时间内送达。",
        ),
        step=Text(
            "Find the cause in the last attempt's reply, remove it, and send the message anew.",
            "从最后一次尝试的应答中查明原因并排除，然后重新发送。",
        ),
        again=Text(
            "Look at the last attempt's reply for the real cause; further attempts may end soon.",
            "从最后一次尝试的应答中查找真正原因；后续尝试可能很快结束。",
        ),
        note=Text(
            "RFC 3463 means it for temporary failures; reports of a message given up carry it as 5.4.7 or 4.4.7.",
            "RFC 3463 用于暂时失败；放弃投递的报告中会写作 5.4.7 或 4.4.7。",
        ),
    ),
    Registration(
        number="5.0",
        classes=(2, 4, 5),
        basic=(220, 250, 251, 252, 253, 451, 452, 454, 458, 459, 501, 502, 503, 554),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Other protocol status", "其他协议状态"),
        meaning=Text(
            "Something about the dialogue itself went wrong, without saying what.",
            "SMTP 会话本身出现问题，但未说明具体原因。",
        ),
        step=Text(
            "Look at the transcript of the session; a program, not a person, has to change.",
            "查看会话记录；需要修改的是程序，而不是由人处理。",
        ),
        success=Text("The command was understood and carried out.", "命令已被理解并执行。"),
    ),
    Registration(
        number="5.1",
        classes=(4, 5),
        basic=(430, 500, 501, 503, 530, 550, 554, 555),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Invalid command", "无效的命令"),
        meaning=Text("A command came out of order, or is not supported.", "命令顺序不对，或不受支持。"),
        step=Text(
            "Send commands in order and only those the reply to EHLO announces.",
            "按顺序发送命令，且只使用 EHLO 应答中列出的命令。",
        ),
    ),
    Registration(
        number="5.2",
        classes=(5,),
        basic=(500, 501, 502, 550, 555),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Syntax error", "语法错误"),
        meaning=Text(
            "A command could not be understood: wrong syntax or an unknown word.",
            "命令无法理解：语法错误或含有未知的词。",
        ),
        step=Text(
            "Correct the command's syntax; the text often names the place.",
            "更正命令语法；文字中往往会指出位置。",
        ),
    ),
    Registration(
        number="5.3",
        classes=(4, 5),
        basic=(451,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Too many recipients", "收件人过多"),
        meaning=Text(
            "The transaction names more recipients than the receiver takes at once.",
            "本次邮件事务的收件人数超过接收SMTP 一次允许的上限。",
        ),
        step=Text("Split the message's recipients over several transactions.", "把收件人分到多次邮件事务中发送。"),
        again=Text(
            "Send to the recipients already accepted, and the rest in another transaction.",
            "先发给已被接受的收件人，其余的另开一次邮件事务。",
        ),
        note=Text(
            "With reply code 452 it is the everyday form: RFC 5321 §4.5.3.1.10.",
            "最常见的是与应答码 452 一起出现，见 RFC 5321 §4.5.3.1.10。",
        ),
    ),
    Registration(
        number="5.4",
        classes=(4, 5),
        basic=(451, 501, 502, 503, 504, 550, 555),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Invalid command arguments", "命令参数无效"),
        meaning=Text(
            "The command is valid, but its arguments are out of range or name an unknown feature.",
            "命令有效，但参数超出范围，或指定了未知的功能。",
        ),
        step=Text("Correct or drop the argument.", "更正或去掉该参数。"),
    ),
    Registration(
        number="5.5",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.6",
        title=Text("Wrong protocol version", "协议版本不符"),
        meaning=Text(
            "The two systems speak versions of the protocol that do not fit together.",
            "双方使用的协议版本互不兼容。",
        ),
        step=Text(
            "Use a protocol both know; begin with EHLO, then HELO.",
            "使用双方都支持的协议；先用 EHLO，不行再用 HELO。",
        ),
    ),
    Registration(
        number="5.6",
        classes=(4, 5),
        basic=(500,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 4954 §6",
        title=Text("Authentication line too long", "身份验证行过长"),
        meaning=Text(
            "A line of the authentication exchange is longer than the receiver's buffer.",
            "身份验证过程中的一行超过了接收SMTP 的缓冲区。",
        ),
        step=Text("Use a shorter token or another mechanism.", "使用更短的令牌或其他验证机制。"),
    ),
    Registration(
        number="6.0",
        classes=(2, 4, 5),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.7",
        title=Text("Other content status", "其他内容状态"),
        meaning=Text(
            "Something about the message's content makes it undeliverable, without saying what.",
            "邮件内容的某些方面导致无法投递，但未说明具体原因。",
        ),
        step=Text(
            "Read the text; check the message's structure and attachments.",
            "阅读应答文字，检查邮件的结构和附件。",
        ),
        success=Text(
            "The message was accepted with its content, and the receiver is responsible for it from here on.",
            "邮件及其内容已被接受，此后由接收SMTP 负责。",
        ),
    ),
    Registration(
        number="6.1",
        classes=(5,),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.7",
        title=Text("Media type not supported", "媒体类型不受支持"),
        meaning=Text(
            "A type of content in the message is not supported on the way or at the receiver.",
            "邮件中的某种内容类型在途中或接收SMTP 处不受支持。",
        ),
        step=Text("Send the content in another format, or a link to it.", "改用其他格式发送，或改发链接。"),
    ),
    Registration(
        number="6.2",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDER,
        source="RFC 3463 §3.7",
        title=Text("Conversion needed but prohibited", "需要转换但被禁止"),
        meaning=Text(
            "The content would have to be converted to be delivered, and that is not permitted.",
            "内容须经转换才能投递，但不允许转换。",
        ),
        step=Text(
            "Send it in a form that needs no conversion, such as quoted-printable or base64, or allow the conversion.",
            "改用无需转换的形式发送，例如 quoted-printable 或 base64，或允许转换。",
        ),
    ),
    Registration(
        number="6.3",
        classes=(5,),
        basic=(554,),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.7",
        title=Text("Conversion needed but not supported", "需要转换但不支持"),
        meaning=Text(
            "The content would have to be converted for the next host, and this one cannot do it; 8-bit content "
            "for a 7-bit host is the common case.",
            "内容须为下一跳主机转换，但本机做不到；常见情形是把 8 位内容发给只支持 7 位的主机。",
        ),
        step=Text(
            "Encode the content as quoted-printable or base64 before sending.",
            "发送前把内容编码为 quoted-printable 或 base64。",
        ),
    ),
    Registration(
        number="6.4",
        classes=(2, 5),
        basic=(250,),
        whose=Whose.SENDER,
        source="RFC 3463 §3.7",
        title=Text("Conversion with loss", "有损转换"),
        meaning=Text(
            "The conversion that delivery needs loses part of the content.",
            "投递所需的转换会丢失部分内容。",
        ),
        step=Text(
            "Send the content in a form that can be converted without loss, or allow the loss.",
            "改用可无损转换的形式发送，或允许有损转换。",
        ),
        success=Text(
            "The message was delivered, but the conversion it needed lost part of the content.",
            "邮件已送达，但所需的转换丢失了部分内容。",
        ),
    ),
    Registration(
        number="6.5",
        classes=(4, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 3463 §3.7",
        title=Text("Conversion failed", "转换失败"),
        meaning=Text(
            "A conversion of the content was needed and did not succeed.",
            "需要转换邮件内容，但转换没有成功。",
        ),
        step=Text(
            "Check that the message is well-formed MIME, and send it in a simpler form.",
            "检查邮件是否为格式正确的 MIME，并以更简单的形式发送。",
        ),
    ),
    Registration(
        number="6.6",
        classes=(4, 5),
        basic=(554,),
        whose=Whose.RECEIVING_SYSTEM,
        source="RFC 4468 §5",
        title=Text("Content not available", "无法取得邮件内容"),
        meaning=Text(
            "Content that the message only points to could not be fetched from another server.",
            "邮件所引用的内容无法从另一台服务器取得。",
        ),
        step=Text(
            "Check the URL and the rights on it, or send the content itself.",
            "检查 URL 及其访问权限，或直接发送内容。",
        ),
    ),
    Registration(
        number="6.7",
        classes=(5,),
        basic=(550, 553),
        whose=Whose.SENDER,
        source="RFC 6531 §4.2",
        title=Text("Non-ASCII address not permitted", "不允许非 ASCII 地址"),
        meaning=Text(
            "The sender's or the recipient's address has non-ASCII characters, and they are not permitted here.",
            "发信或收件人地址含有非 ASCII 字符，此处不允许。",
        ),
        step=Text(
            "Use an ASCII address of the same person, or a path on which every host offers SMTPUTF8.",
            "使用对方的 ASCII 地址，或经由每一跳都支持 SMTPUTF8 的路径。",
        ),
    ),
    Registration(
        number="6.8",
        classes=(2, 5),
        basic=(252, 550, 553),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 6531 §4.2",
        title=Text("A UTF-8 reply is needed but not permitted", "需要 UTF-8 应答但不允许"),
        meaning=Text(
            "The reply would have to show a mailbox name in UTF-8, and the client has not allowed that.",
            "应答须用 UTF-8 显示邮箱名，但客户端未允许。",
        ),
        step=Text("Send VRFY or EXPN with the SMTPUTF8 parameter.", "给 VRFY 或 EXPN 加上 SMTPUTF8 参数。"),
        success=Text(
            "The mailbox may be right, but its name can be shown in UTF-8 only, which the client has not allowed.",
            "邮箱可能正确，但其名称只能以 UTF-8 显示，而客户端未允许。",
        ),
    ),
    Registration(
        number="6.9",
        classes=(5,),
        basic=(550,),
        whose=Whose.SENDER,
        source="RFC 6531 §4.2",
        title=Text("UTF-8 header cannot be transferred", "无法传输 UTF-8 邮件头"),
        meaning=Text(
            "The header is in UTF-8, and at least one recipient cannot be reached over SMTPUTF8.",
            "邮件头使用 UTF-8，而至少一位收件人无法经由 SMTPUTF8 送达。",
        ),
        step=Text(
            "Send that recipient a message whose header is ASCII with encoded words.",
            "给该收件人另发一封邮件头为 ASCII（使用编码字）的邮件。",
        ),
    ),
    Registration(
        number="6.10",
        classes=(2, 5),
        basic=(),
        whose=Whose.SENDING_SYSTEM,
        source="RFC 6531 §4.2",
        title=Text("A UTF-8 reply is needed (deprecated)", "需要 UTF-8 应答（已弃用）"),
        meaning=Text(
            "It means the same as X.6.8: a mailbox name could be shown in UTF-8 only, and the client has not "
            "allowed that.",
            "含义与 X.6.8 相同：邮箱名只能以 UTF-8 显示，而客户端未允许。",
        ),
        step=Text("Send VRFY or EXPN with the SMTPUTF8 parameter.", "给 VRFY 或 EXPN 加上 SMTPUTF8 参数。"),
        note=Text("Deprecated: a duplicate of X.6.8.", "已弃用：与 X.6.8 重复。"),
    ),
)
