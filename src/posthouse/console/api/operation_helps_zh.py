"""Chinese texts of the operations and their parameters on the page of the API: English text → Chinese text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["CHINESE_HELPS"]

_OPERATIONS: Final = {
    "Show where a message to an address would go, and why.": "说明发往某个地址的邮件会送到哪里，以及原因。",
    "Check the DNS records of a domain: MX, SPF, DKIM, DMARC and TLS.": (
        "检查域的 DNS 记录：MX、SPF、DKIM、DMARC 和 TLS。"
    ),
    "Show what may not be intended in the settings in force, and which certificates end soon.": (
        "列出生效的设置中可能并非本意的地方，以及即将到期的证书。"
    ),
    "Check what receivers make of SPF, DKIM, ARC and DMARC of a message.": (
        "检查接收者对邮件的 SPF、DKIM、ARC 和 DMARC 会得出什么结论。"
    ),
    "Show the settings in force, and where each value comes from.": "列出生效的设置，以及每个值的来源。",
    "Compare the DKIM keys with the DNS.": "将 DKIM 密钥与 DNS 对照。",
    "Make the first DKIM key of a domain.": "为域生成第一个 DKIM 密钥。",
    "Make the next DKIM keys of a domain, and remove those that have had their time.": (
        "为域生成下一批 DKIM 密钥，并删除已到期的密钥。"
    ),
    "Show the DKIM keys and their DNS records.": "列出 DKIM 密钥及其 DNS 记录。",
    "Show a message's history, where a message to an address would go, or what a code, command or setting is.": (
        "显示邮件的经过、发往某个地址的邮件的去向，或应答码、命令、设置的含义。"
    ),
    "Explain a reply code, an enhanced code, a line with such codes in it, a command, or a setting.": (
        "解释应答码、增强状态码、含有这类代码的一行、命令或设置。"
    ),
    "Show the faults that are switched on.": "列出已开启的故障。",
    "Switch faults off.": "关闭故障。",
    "Switch a fault on at the listeners of the catcher.": "在捕获邮件的监听地址上开启一种故障。",
    "Send one message again to those that it was sent to.": "把一封邮件再次发给原来的收件人。",
    "Check one message as `posthouse check message` does.": "像 `posthouse check message` 那样检查一封邮件。",
    "Count the messages that a search finds.": "统计搜索结果的邮件数。",
    "Delete messages from the inboxes.": "从收件箱删除邮件。",
    "Show the deletions that can be undone.": "列出可以撤销的删除。",
    "Give the links and one-time codes of a message.": "给出邮件中的链接和一次性验证码。",
    "Say which mail programs do not show what the HTML of a message uses.": (
        "指出哪些邮件程序不支持邮件的 HTML 所用的特性。"
    ),
    "Put a message, or the messages of an mbox, into an inbox.": "把一封邮件或一个 mbox 中的邮件放入收件箱。",
    "Ask for the links and pictures of a message, each once, and say which are broken.": (
        "逐一请求邮件中的链接和图片，每个一次，指出哪些已失效。"
    ),
    "Show the messages in the inboxes, the newest last.": "列出收件箱中的邮件，最新的在最后。",
    "Mark messages as read or unread.": "把邮件标为已读或未读。",
    "Give one part of a message, decoded.": "给出邮件的一个部分，已解码。",
    "Read one message: fields, text, HTML, parts, links and codes. It stays unread.": (
        "读取一封邮件：字段、文本、HTML、各部分、链接和验证码。邮件仍为未读。"
    ),
    "Make the index of the inboxes again; read marks and tags are kept.": "重建收件箱的索引；已读标记和标签保留。",
    "Send one message on to real addresses, by the server of release_via.": (
        "经 release_via 指定的服务器把一封邮件转给真实的地址。"
    ),
    "Search the inboxes; the newest message is the first.": "搜索收件箱；最新的邮件在最前。",
    "Hand a message to the daemon, as `posthouse sendmail` does.": (
        "像 `posthouse sendmail` 那样把一封邮件交给守护进程。"
    ),
    "Show one message: decoded, and the first 8 MiB of it as they were delivered.": (
        "显示一封邮件：解码后的内容，以及投递时原文的前 8 MiB。"
    ),
    "Give a piece of a message as it was delivered.": "给出邮件投递时原文的一段。",
    "Show the inboxes and how much is in them.": "列出各收件箱及其中的邮件数量。",
    "Give tags to messages, or take them away.": "给邮件加标签，或去掉标签。",
    "Have back what a deletion took.": "恢复一次删除所删掉的邮件。",
    "Show the inboxes, domains, logins and tags with their counts.": "列出收件箱、域、登录名和标签，以及各自的数量。",
    "Wait until messages are in an inbox; those that are there already count.": (
        "等待收件箱中有邮件；已经在其中的也计算在内。"
    ),
    "Show the metrics of the daemon.": "显示守护进程的指标。",
    "Show the state of the daemon in numbers: rates, latencies, refusals, destinations, queue, disk, workers.": (
        "以数字显示守护进程的状态：速率、延迟、拒绝、目的地、队列、磁盘、工作进程。"
    ),
    "Show the dialogue of one session.": "显示一次会话的对话。",
    "Show the sessions with clients and with other hosts: those that are open, and recent ones.": (
        "列出与客户端和与其他主机的会话：进行中的和最近的。"
    ),
    "Show who changed what in the queue and the inboxes, latest first.": (
        "列出谁对队列和收件箱做了哪些改动，最近的在最前。"
    ),
    "Count the recipients that a filter selects, and that an action on them would change.": (
        "统计筛选条件选中的收件人数，以及操作会改变的收件人数。"
    ),
    "Give mail up, permanently.": "放弃投递邮件，不可恢复。",
    "Hold waiting mail: no attempts are made.": "扣留等待投递的邮件：不再尝试投递。",
    "Show the messages that are not finished, the newest last.": "列出尚未处理完的邮件，最新的在最后。",
    "Make no attempts for a destination, until a time or until it is resumed; its mail waits.": (
        "暂停向某个目的地投递，直到指定时间或恢复为止；其邮件在队列中等待。"
    ),
    "Show the destinations that are paused.": "列出已暂停的目的地。",
    "Release held mail, and try it now.": "放行扣留的邮件，并立即尝试投递。",
    "Send mail by another route than the configured one, now.": "立即让邮件改走配置以外的路由。",
    "End the pause of a destination.": "恢复向某个目的地投递。",
    "Try waiting mail now.": "立即尝试投递等待中的邮件。",
    "Show one message and each of its recipients.": "显示一封邮件及其每位收件人。",
    "Show the hosts that mail goes to: attempts under way, and which are suspended, until when and why.": (
        "列出邮件送往的主机：正在进行的投递，哪些已暂停连接、到何时、为什么。"
    ),
    "Show how many recipients wait for each destination, by age.": "按等待时间列出每个目的地有多少收件人在等待。",
    "Undo an action on the queue that was made with a time for undoing.": "撤销一次留有撤销时间的队列操作。",
    "Show the actions on the queue that can be undone, the latest first.": "列出可以撤销的队列操作，最近的在最前。",
    "Read the configuration again; a file with errors changes nothing.": "重新读取配置；文件有错误时不做任何改变。",
    "Show who sees some inboxes only.": "列出只能查看部分收件箱的账户。",
    "Show the accounts.": "列出账户。",
    "Show one account.": "显示一个账户。",
    "Show the API tokens.": "列出 API 令牌。",
}
_PARAMETERS: Final = {
    "The address, with or without angle brackets.": "地址，尖括号可有可无。",
    "The domain.": "域。",
    "The selectors of its DKIM keys, with commas between them.": "DKIM 密钥的选择器，以逗号分隔。",
    "DNS records as JSON, in place of the DNS.": "以 JSON 写出的 DNS 记录，代替 DNS 应答。",
    "The message; each octet is one character (Latin-1).": "邮件；每个八位字节对应一个字符（Latin-1）。",
    "The address of the host that sends it; without one, SPF is left out.": (
        "发送该邮件的主机的地址；不填则不检查 SPF。"
    ),
    "The sender in MAIL FROM; empty for a bounce.": "MAIL FROM 中的发件人；退信为空。",
    "The name that the host gives in HELO or EHLO.": "主机在 HELO 或 EHLO 中给出的名称。",
    "Only settings with this text in name, value or help.": "只列出名称、值或说明中含有该文本的设置。",
    "Only settings that differ from their default.": "只列出与默认值不同的设置。",
    "The domain; without it, every domain that has keys.": "域；不填则为所有有密钥的域。",
    "A zone (JSON) that answers in place of the DNS.": "代替 DNS 应答的区域数据（JSON）。",
    "The domain that signs (d=).": "签名的域（d=）。",
    "rsa, ed25519 or both.": "rsa、ed25519 或 both（两者）。",
    "The selector; without it, the date and a letter.": "选择器；不填则为日期加一个字母。",
    "Days until the new keys sign, for their records to spread.": "新密钥开始签名前等待的天数，以便其记录生效。",
    "A queue id, a Message-ID, an address, a reply code, a command, or a setting.": (
        "队列标识、Message-ID、地址、应答码、命令或设置。"
    ),
    "For codes and commands: en or zh.": "用于应答码和命令：en 或 zh。",
    "550, 5.1.1, 4.7.x, a line of a log, MAIL, or relay.max_hops.": (
        "550、5.1.1、4.7.x、日志中的一行、MAIL 或 relay.max_hops。"
    ),
    "en or zh.": "en 或 zh。",
    "Whether the other worker processes are asked too.": "是否也询问其他工作进程。",
    "Its name, as in `fault list`.": "故障的名称，见 `fault list`。",
    "Instead of a name: all faults.": "代替名称：所有故障。",
    "connect, helo, auth, mail, rcpt, data, end, or all (for a delay).": (
        "connect、helo、auth、mail、rcpt、data、end 或 all（用于延迟）。"
    ),
    'A code such as 451, or a whole reply such as "451 4.7.1 Try later"; 421 ends it.': (
        "应答码（如 451）或完整的应答（如“451 4.7.1 Try later”）；421 会结束会话。"
    ),
    "Cut the connection in place of a reply.": "不应答，直接断开连接。",
    "How much later the answer comes, as in 5s; alone, or with a reply or a cut.": (
        "应答推迟多久，如 5s；可单独使用，也可与应答或断开连接同用。"
    ),
    "Only recipients that fit this, with * and ?.": "只针对符合该模式的收件人，可用 * 和 ?。",
    "Only senders that fit this, with * and ?.": "只针对符合该模式的发件人，可用 * 和 ?。",
    "How many of 100 moments it strikes.": "每 100 次中发生多少次。",
    "How often it strikes, then it ends; 0 without end.": "发生多少次后结束；0 表示不限。",
    "Only what exceeds so many moments a minute; 0 for each.": "只针对每分钟超出该次数的部分；0 表示每次。",
    "When it ends by itself, as in 10m; without end, if empty.": "多久后自行结束，如 10m；为空则不限。",
    "A name, which replaces the fault of this name; one is made, if empty.": (
        "名称，会取代同名的故障；为空则自动生成。"
    ),
    "Its number, as in `inbox list`.": "编号，见 `inbox list`。",
    "An address, @domain, tag:NAME, login:NAME or box:NAME; all messages, if empty.": (
        "地址、@域、tag:NAME、login:NAME 或 box:NAME；为空则为所有邮件。"
    ),
    "Words and conditions, in the language of searches.": "搜索语法中的词和条件。",
    "Their numbers, as in `inbox list`.": "编号，见 `inbox list`。",
    "Instead of numbers: all messages of this inbox.": "代替编号：该收件箱的所有邮件。",
    "Instead of numbers: all messages.": "代替编号：所有邮件。",
    "Instead: an address, @domain, tag:NAME, login:NAME or box:NAME.": (
        "也可改用：地址、@域、tag:NAME、login:NAME 或 box:NAME。"
    ),
    "Instead, or with a view: those that a search finds.": "也可改用（或与 view 同用）：搜索到的邮件。",
    "Spare what arrived after this number: the cursor `last` of a list.": (
        "不涉及该编号之后到达的邮件：列表给出的游标 `last`。"
    ),
    "Delete the messages with these numbers from every inbox that they are in.": (
        "从所在的每个收件箱删除这些编号的邮件。"
    ),
    "Remove them at once; this cannot be undone.": "立即彻底删除，不可撤销。",
    "The message in base64.": "邮件，base64 编码。",
    "The inbox (an address).": "收件箱（地址）。",
    "Only this inbox (an address).": "只列出该收件箱（地址）。",
    "How many at most: the newest ones.": "最多多少封：取最新的。",
    "Only messages after this number.": "只列出该编号之后的邮件。",
    "Instead: all messages.": "也可改用：所有邮件。",
    "Unread instead of read.": "标为未读，而不是已读。",
    "Its number in the tree, as 1.2, or cid: and its Content-ID.": (
        "在结构树中的编号（如 1.2），或 cid: 加其 Content-ID。"
    ),
    "The addresses, with commas between them.": "地址，以逗号分隔。",
    "How many at most.": "最多多少个。",
    "Only messages with numbers below this one; 0 for all.": "只列出编号小于它的邮件；0 表示全部。",
    "Only messages with numbers above this one.": "只列出编号大于它的邮件。",
    "The sender of the envelope; empty for the null reverse-path.": "信封的发件人；空发件人则留空。",
    "The recipients of the envelope, with commas between them.": "信封的收件人，以逗号分隔。",
    "The octet that it begins with.": "从哪个八位字节开始。",
    "The tags, with commas between them.": "标签，以逗号分隔。",
    "Take them away.": "去掉标签。",
    "Its number; 0 for the latest.": "删除的编号；0 表示最近一次。",
    "Only names that begin so: tag:, login:, box:, @.": "只列出以此开头的名称：tag:、login:、box:、@。",
    "Only names behind this one.": "只列出排在该名称之后的名称。",
    "The first so many of each kind instead, whatever the others say.": "改为每类只取前若干个，不论其他参数。",
    "The inbox (an address), exactly; any, if empty.": "收件箱（地址），须完全一致；为空则不限。",
    "A part of its subject.": "主题的一部分。",
    "A part of its sender's address or name.": "发件人地址或姓名的一部分。",
    "Only messages after this number: the cursor `last` of an earlier answer.": (
        "只计该编号之后的邮件：先前应答给出的游标 `last`。"
    ),
    "Seconds, at most 300.": "秒数，最多 300。",
    "Further conditions, in the language of searches.": "更多条件，用搜索语法书写。",
    "How many messages, at most 1000.": "多少封邮件，最多 1000。",
    "Whether more than so many are a failure; the whole time is waited.": "超过该数量是否算失败；会等满全部时间。",
    "Wait the whole time, and fail if a message comes.": "等满全部时间，其间有邮件到达即算失败。",
    "The session, as `monitor sessions` names it.": "会话，名称见 `monitor sessions`。",
    "in: from clients; out: to other hosts; empty: both.": "in：来自客户端；out：发往其他主机；为空：两者。",
    "Only sessions in which something went wrong.": "只列出出了问题的会话。",
    "Only sessions that are open.": "只列出进行中的会话。",
    "Only the session that a message came by, whose source this is: mx 192.0.2.1:40000.": (
        "只列出带来某封邮件的会话，按邮件的来源指定：mx 192.0.2.1:40000。"
    ),
    "Whether every dialogue is recorded for a minute from now on.": "是否从现在起一分钟内记录所有对话。",
    "Which recipients, in the filter language; all, if empty.": "哪些收件人，用筛选语法书写；为空则为全部。",
    "hold, release, retry, drop or reroute; empty for none.": "hold、release、retry、drop 或 reroute；为空则无操作。",
    "Which recipients, in the filter language.": "哪些收件人，用筛选语法书写。",
    "Or which messages, by their queue ids with commas; then undo_for is needed.": (
        "或用队列标识指定邮件，以逗号分隔；此时必须填 undo_for。"
    ),
    "How long it can be undone, such as 10m; mail that is dropped is only held until then. "
    "Empty, it cannot be undone.": ("多长时间内可以撤销，如 10m；要丢弃的邮件在此之前只是扣留。为空则不可撤销。"),
    "Whether the senders get a delivery report.": "发件人是否收到投递报告。",
    "Only messages after this queue id, and then the oldest ones.": "只列出该队列标识之后的邮件，并取最早的。",
    "Only messages before this queue id.": "只列出该队列标识之前的邮件。",
    "The domain that the mail goes to.": "邮件要送往的域。",
    "For how long, as in 2h; empty, until it is resumed.": "暂停多久，如 2h；为空则直到恢复。",
    "The reason, which others see.": "原因，其他人可以看到。",
    "Whether the daemon reads its list of pauses again.": "守护进程是否重新读取暂停列表。",
    "As in a [[route]]; empty, the configuration decides again.": "写法同 [[route]]；为空则重新由配置决定。",
    "The queue id, as in the 250 reply to its sender.": "队列标识，见给发件人的 250 应答。",
    "How many destinations at most.": "最多多少个目的地。",
    "Which action, as `queue undoable` lists it; 0 is the last one.": "哪次操作，见 `queue undoable`；0 表示最近一次。",
    "The account's name, usually an address.": "账户名，通常是一个地址。",
}
#: The Chinese text of each English one.
CHINESE_HELPS: Final[Mapping[str, str]] = MappingProxyType(_OPERATIONS | _PARAMETERS)
