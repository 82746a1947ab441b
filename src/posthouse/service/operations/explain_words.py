"""Texts of histories and forecasts, each in English and Chinese.

Both texts of a row have the same fields, so that neither language says more than the other; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["EXPLAIN_TEXTS", "PHASES_ZH"]

#: Key → (English, Chinese).
EXPLAIN_TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        # The message
        "title": (
            "{id}  from {sender} to {recipients}, {size} octets",
            "{id}  发件人 {sender}，收件人 {recipients}，{size} 字节",
        ),
        "message-id": ("Message-ID {id}", "Message-ID {id}"),
        "about": ("This message is a delivery report about {id}.", "这是关于 {id} 的投递报告。"),
        "corrupt": (
            "The content is missing or damaged; the message is kept for inspection.",
            "邮件内容缺失或损坏；邮件保留，以供检查。",
        ),
        "accepted": ("accepted from {source}", "接收自 {source}"),
        "helo": (", which calls itself {name}", "，对方自称 {name}"),
        "user": (", authenticated as {name}", "，已验证身份：{name}"),
        "tls": (", by {tls}", "，经 {tls}"),
        "expanded-alias": ("{address}: an alias of {number}", "{address}：别名，指向 {number}"),
        "expanded-list": ("{address}: a list of {number}", "{address}：邮件列表，共 {number}"),
        "expanded-moved": ("{address}: a mailbox that has moved", "{address}：邮箱已迁走"),
        "sent-srs": ("sent with the sender {sender} (SRS)", "发件人改写为 {sender}（SRS）"),
        "sent-signed": ("sent with the sender {sender} (BATV)", "发件人加上签名，为 {sender}（BATV）"),
        "expanded-srs": (
            "{address}: a sender that this server wrote into forwarded mail (SRS)",
            "{address}：本机转发邮件时使用的发件人地址（SRS）",
        ),
        "expanded-signed": (
            "{address}: a sender of this server with its signature (BATV)",
            "{address}：本机发件人带签名的地址（BATV）",
        ),
        "expanded-same": ("{address}: another name of the same mailbox", "{address}：同一邮箱的另一名称"),
        "expanded-postmaster": ("{address}: the postmaster of this host", "{address}：本机的 postmaster"),
        "led": (", here {recipients}", "，本邮件发往其中的 {recipients}"),
        "led-all": (", which means {recipients}", "，即 {recipients}"),
        "copy": (", sent on as {id} with {sender} as sender", "，以 {sender} 为发件人转发，队列编号 {id}"),
        "parent": (
            "This message is the copy for a list; the client was told the queue id {parent}.",
            "这是为邮件列表转发的邮件；当时告诉客户端的队列编号是 {parent}。",
        ),
        "named-sender": ("The client named {sender} as sender.", "客户端给出的发件人是 {sender}。"),
        "remark": ("tolerated: {text}", "已宽容处理：{text}"),
        # Attempts
        "attempt": ("attempt {number}, for {where}", "第 {number} 次尝试，目的地 {where}"),
        "rule": ("route: {rule}", "路由：{rule}"),
        "reused": ("on a session that had taken {number} before", "沿用此前已投递 {number} 封邮件的会话"),
        "took": ("{span} in all ({phases})", "共 {span}（{phases}）"),
        "delivered": ("{recipients}: delivered, {reply}", "{recipients}：已投递，{reply}"),
        "deferred": ("{recipients}: deferred, {reply}", "{recipients}：暂缓，{reply}"),
        "failed": ("{recipients}: failed, {reply}", "{recipients}：失败，{reply}"),
        "ambiguous": (
            "{recipients}: unknown whether it was delivered: {reply}",
            "{recipients}：不能确定是否已投递：{reply}",
        ),
        "expired": ("{recipients}: given up, {reply}", "{recipients}：放弃，{reply}"),
        "in-reply-to": (" (in reply to {command})", "（对 {command} 的应答）"),
        "next": ("scheduled for {due}, {span} later: {why}", "安排在 {due} 重试，即 {span}之后：{why}"),
        # Other events
        "held": ("{recipients} held by {who}", "{who} 扣留了 {recipients}"),
        "released": ("{recipients} released by {who}", "{who} 放行了 {recipients}"),
        "retried": ("{who} asked for an attempt now for {recipients}", "{who} 要求立即重试 {recipients}"),
        "dropped": ("{recipients} dropped by {who}", "{who} 丢弃了 {recipients}"),
        "rerouted": ("{recipients} rerouted by {who}: {text}", "{who} 为 {recipients} 改设路由：{text}"),
        "restored": (
            "{who} undid this for {recipients}, which had not been tried yet",
            "{who} 撤销了对 {recipients} 的操作，当时尚未尝试投递",
        ),
        "undone-hold": ("{who} undid the hold of {recipients}", "{who} 撤销了对 {recipients} 的扣留"),
        "undone-release": (
            "{who} undid the release of {recipients}, held again",
            "{who} 撤销了对 {recipients} 的放行，重新扣留",
        ),
        "undone-drop": ("{who} undid the drop of {recipients}", "{who} 撤销了对 {recipients} 的丢弃"),
        "warned": (
            "the sender was told that delivery is delayed for {recipients}",
            "已告知发件人：发给 {recipients} 的邮件有延迟",
        ),
        "reported": ("a delivery report was sent to the sender: {text}", "已向发件人发送投递报告：{text}"),
        "suspected": (
            "the worker that was delivering it crashed; it will be tried again",
            "正在投递它的工作进程崩溃；将重新尝试",
        ),
        "quarantined": ("held on arrival: {text}", "接收时即被扣留：{text}"),
        "poison": (
            "{recipients} held as a poison message: three workers crashed while they were delivering it",
            "{recipients} 被扣留：三个工作进程先后在投递它时崩溃",
        ),
        "corrupt-event": ("the content was found to be missing or damaged: {text}", "发现邮件内容缺失或损坏：{text}"),
        "configuration": ("the configuration decides again", "重新由配置决定"),
        "operator": ("an operator", "管理员"),
        "all": ("all recipients", "所有收件人"),
        "more": ("{recipients} and {number} more", "{recipients} 等（另有 {number} 位）"),
        "and": (", ", "、"),
        # The state now
        "now-title": ("Now", "现在"),
        "now-scheduled": (
            "{recipients}: waiting for attempt {number}, {due}",
            "{recipients}：等待第 {number} 次尝试，时间 {due}",
        ),
        "now-suspended": (
            "{recipients}: attempt {number} waits until {due}: {site} is suspended: {why}; {remedy}",
            "{recipients}：第 {number} 次尝试等到 {due}：已暂停连接 {site}：{why}；{remedy}",
        ),
        "now-paused": (
            "{recipients}: attempt {number} waits: the destination is paused: {why}",
            "{recipients}：第 {number} 次尝试等待中：该目的域已被暂停：{why}",
        ),
        "now-paused-until": (
            "{recipients}: attempt {number} waits until {due}: the destination is paused: {why}",
            "{recipients}：第 {number} 次尝试等到 {due}：该目的域已被暂停：{why}",
        ),
        "retry-now": (
            "posthouse queue retry id:{id} asks it now",
            "用 posthouse queue retry id:{id} 可以立即重试",
        ),
        "now-trying": (
            "{recipients}: attempt {number} at {site} is under way since {at}",
            "{recipients}：第 {number} 次尝试正在进行，目的主机 {site}，始于 {at}",
        ),
        "now-slot": (
            "{recipients}: attempt {number} waits for a connection slot at {site}; {before} before it",
            "{recipients}：第 {number} 次尝试在等待通往 {site} 的连接名额；前面还有 {before} 次尝试",
        ),
        "now-line": (
            "{recipients}: attempt {number} waits in the spool, as {before} attempts wait for {site} already",
            "{recipients}：第 {number} 次尝试仍在队列中等待，因为等待 {site} 的已有 {before} 次尝试",
        ),
        "now-probe": (
            "{recipients}: attempt {number} waits for the result of another at {site}, of which nothing is known yet",
            "{recipients}：第 {number} 次尝试在等待对 {site} 的另一次尝试的结果，因为该主机的状况未知",
        ),
        "now-rate": (
            "{recipients}: attempt {number} waits until {due}: attempts at unproven sites ({site}) are limited",
            "{recipients}：第 {number} 次尝试等到 {due}：对状况未知的主机（{site}），每秒的尝试次数有上限",
        ),
        "now-leased": (
            "{recipients}: attempt {number} has just begun, or its result is being recorded",
            "{recipients}：第 {number} 次尝试刚刚开始，或其结果正在记录",
        ),
        "now-soon": ("{recipients}: attempt {number} begins now", "{recipients}：第 {number} 次尝试即将开始"),
        "now-stopped": (
            "{recipients}: due since {due}; no daemon answers, and attempt {number} is made when one runs",
            "{recipients}：自 {due} 起等待；没有守护进程应答，启动后进行第 {number} 次尝试",
        ),
        "now-held": (
            "{recipients}: held until an operator releases it (posthouse queue release id:{id})",
            "{recipients}：被扣留，等待管理员放行（posthouse queue release id:{id}）",
        ),
        "now-delivered": ("{recipients}: delivered", "{recipients}：已投递"),
        "now-failed": ("{recipients}: failed permanently", "{recipients}：永久失败"),
        "now-route": ("{recipients}: rerouted to {route} by an operator", "{recipients}：管理员改设路由为 {route}"),
        "expires": ("given up if not delivered by {due}", "放弃期限 {due}：届时仍未投递即放弃"),
        "gone": (
            "The message has left the queue; only its history is kept.",
            "邮件已离开队列，只保留了经过记录。",
        ),
        "because": (": {why}", "：{why}"),
        "in": ("{when} (in {span})", "{when}（{span}后）"),
        # An address
        "mailbox": ('A local mailbox, with deliver = "{deliver}".', '本地邮箱，deliver = "{deliver}"。'),
        "paused": (
            'A local mailbox, with deliver = "{deliver}". It is paused; senders will try again later.',
            '本地邮箱，deliver = "{deliver}"。已暂停接收；发送SMTP 会稍后重试。',
        ),
        "quota": ("{used} of its quota of {quota} are used.", "配额 {quota}，已用 {used}。"),
        "full": (
            "It is full: {used} of its quota of {quota} are used.",
            "邮箱已满：配额 {quota}，已用 {used}。",
        ),
        "moved-forward": ("The mailbox has moved; mail is sent on to {to}.", "邮箱已迁走；邮件转发到 {to}。"),
        "moved-tell": (
            "The mailbox has moved; mail is refused, and the sender told of {to}.",
            "邮箱已迁走；拒收邮件，并告知发件人新地址 {to}。",
        ),
        "alias": ("An alias for {number}; the sender is kept.", "别名，指向 {number}；发件人不变。"),
        "list": ("A list of {number}; {owner} becomes the sender.", "邮件列表，共 {number}；{owner} 成为发件人。"),
        "srs": (
            "A sender that this server wrote into forwarded mail (SRS); mail to it goes to the original sender, {to}.",
            "本机转发邮件时使用的发件人地址（SRS）；发往它的邮件转给原发件人 {to}。",
        ),
        "signed": (
            "A sender of this server with its signature (BATV); mail to it is mail to {to}.",
            "本机发件人带签名的地址（BATV）；发往它就是发往 {to}。",
        ),
        "report-refused": (
            "A delivery report to it (MAIL FROM:<>) is answered {reply}: {why}.",
            "发往它的投递报告（MAIL FROM:<>）会得到应答 {reply}：{why}。",
        ),
        "foreign": (
            "The domain is not local: only trusted networks may send to it from here.",
            "该域不由本机负责：只有受信任的网络可以经本机向它发送。",
        ),
        "unknown": (
            "The domain is local, and has no mailbox of this name.",
            "该域由本机负责，但没有这个邮箱。",
        ),
        "unknown-marked": (
            "The domain is local, and has no mailbox of this name ({why}).",
            "该域由本机负责，但没有这个邮箱（{why}）。",
        ),
        "address": ("1 address", "1 个地址"),
        "addresses": ("{number} addresses", "{number} 个地址"),
        "reply": (
            "RCPT from outside the trusted networks is answered {reply}.",
            "对受信任网络之外的 RCPT，应答为 {reply}。",
        ),
        "nowhere": ("Mail for this address is refused.", "拒收发往该地址的邮件，不会投递。"),
        "way": ("{recipient}: goes by {way} to {target}", "{recipient}：经 {way} 发往 {target}"),
        "no-way": ("{recipient}: has no route now", "{recipient}：现在没有可用的路由"),
        "why": ("because {rule}", "原因：{rule}"),
        "lookup": ("next hop: {lookup}", "下一跳：{lookup}"),
        "exchange": ("{name}: {addresses}", "{name}：{addresses}"),
        "tls-off": ("in clear, without TLS", "不加密"),
        "tls-opportunistic": (
            "with TLS where the host offers it, else in clear; certificates are not checked",
            "对方提供时使用 TLS，否则不加密；不检查证书",
        ),
        "tls-require": (
            "with TLS or not at all; certificates are not checked",
            "必须使用 TLS，否则不投递；不检查证书",
        ),
        "tls-verify": (
            "with TLS and a certificate that proves the host's name, or not at all",
            "必须使用 TLS，且证书须证明主机名，否则不投递",
        ),
        "queued": (
            "in the queue for {destination}: {waiting} waiting, {held} held, the oldest for {span}",
            "队列中发往 {destination} 的收件人：{waiting} 位等待，{held} 位扣留，最早的已等 {span}",
        ),
        "suspended": ("site suspended until {until}: {why}", "已暂停连接该主机，直到 {until}：{why}"),
        "limit": ("concurrency limit of the site now: {limit}", "目前对该主机最多同时进行 {limit} 次尝试"),
        "would-try": ("A message would be tried at once at {name}.", "邮件会立即尝试投递到 {name}。"),
        "would-wait": (
            "A message would wait until {until} before it is tried.",
            "邮件会先等待，尝试时间：{until}。",
        ),
        "would-line": (
            "A message would wait in line: {before} attempts wait for {site} already.",
            "邮件会排队等待：等待 {site} 的已有 {before} 次尝试。",
        ),
        "would-keep": ("A message would be delivered at once.", "邮件会立即投递。"),
        "would-defer": ("A message would be deferred: {reply}", "邮件会被暂缓：{reply}"),
        "would-fail": ("A message would fail: {reply}", "邮件会失败：{reply}"),
    }
)

#: The phases of a connection in Chinese.
PHASES_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {"resolve": "解析", "connect": "连接", "greet": "问候", "envelope": "信封", "content": "内容", "final": "确认"}
)
