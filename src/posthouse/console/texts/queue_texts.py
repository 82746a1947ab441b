"""The texts of the pages of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "queue.title": ("Queue", "队列"),
        "queue.lead": ("Mail that is not delivered yet, and why.", "尚未投递的邮件及其原因。"),
        "queue.filter": ("Filter", "筛选"),
        "queue.show": ("Show", "显示"),
        "queue.clear": ("Clear", "清除"),
        "queue.language": ("The filter language", "筛选语法"),
        "queue.map": ("Recipients by destination and age", "按目的域与等待时间统计的收件人"),
        "queue.destination": ("Destination", "目的域"),
        "queue.older": ("older", "更早"),
        "queue.held": ("Held", "扣留"),
        "queue.oldest": ("Oldest", "最早"),
        "queue.sum": (
            "{recipients} recipients at {destinations} destinations. Click a number to see its messages.",
            "共 {recipients} 位收件人，{destinations} 个目的域。点击数字查看邮件。",
        ),
        "queue.empty": ("The queue is empty.", "队列是空的。"),
        "queue.empty_filter": ("No message meets this filter.", "没有符合筛选条件的邮件。"),
        "queue.lost": (
            "{number} contents in spool/lost have no row in the database; the manual says how to get them back.",
            "spool/lost 中有 {number} 份内容在数据库中没有记录；手册说明了如何找回。",
        ),
        "queue.slow": ("Why mail waits", "邮件为何等待"),
        "queue.slow.facts": ("{waiting} waiting, the oldest for {age}", "{waiting} 位收件人等待中，最早的已等 {age}"),
        "queue.site": ("site", "站点"),
        "queue.limit": ("at most {limit} attempts at one time", "同时最多 {limit} 次尝试"),
        "queue.line": ("Next attempts, from now on", "接下来的投递尝试"),
        "queue.messages": ("Messages", "邮件"),
        "queue.acts": ("What to do with the messages that are chosen", "对所选邮件的操作"),
        "queue.everything": (
            "all that meet the filter ({recipients} recipients)",
            "符合筛选条件的全部邮件（{recipients} 位收件人）",
        ),
        "queue.choose": ("Choose all on this page", "选择本页全部"),
        "queue.choose_one": ("Choose {id}", "选择 {id}"),
        "queue.message": ("Message", "邮件"),
        "queue.received": ("Received", "接收时间"),
        "queue.from": ("From", "发件人"),
        "queue.to": ("To", "收件人"),
        "queue.size": ("Size", "大小"),
        "queue.state": ("State", "状态"),
        "queue.tries": ("Tries", "尝试次数"),
        "queue.next": ("Next attempt", "下次尝试"),
        "queue.last": ("Last result", "上次结果"),
        "queue.newer": ("Newer", "较新的"),
        "queue.later": ("Older", "较早的"),
        "queue.recipients": ("Recipients", "收件人"),
        "queue.others": ("and {number} further destinations", "另有 {number} 个目的域"),
        "queue.state.active": ("active", "投递中"),
        "queue.state.waiting": ("waiting", "等待"),
        "queue.state.deferred": ("deferred", "暂缓"),
        "queue.state.held": ("held", "扣留"),
        "queue.state.finished": ("finished", "已结束"),
        "queue.waits.scheduled": ("as scheduled", "按计划"),
        "queue.waits.suspended": ("site suspended", "暂停连接"),
        "queue.waits.trying": ("under way now", "正在进行"),
        "queue.waits.slot": ("when a connection is free", "等待空闲连接"),
        "queue.waits.line": ("behind others of the site", "排在同站点其他邮件之后"),
        "queue.waits.probe": ("behind a first attempt there", "等待首次尝试的结果"),
        "queue.waits.rate": ("rate limit", "频率限制"),
        "queue.waits.leased": ("under way now", "正在进行"),
        "queue.waits.soon": ("now", "马上"),
        "queue.waits.paused": ("destination paused", "目的域已暂停"),
        "queue.waits.stopped": ("when a daemon runs", "等待守护进程运行"),
        "queue.pause": ("Paused destinations", "暂停的目的域"),
        "queue.pause.effect": (
            "No attempts are made for a paused destination; its mail waits, and new mail is accepted.",
            "暂停期间不再尝试向该目的域投递；邮件留在队列中，新邮件照常接收。",
        ),
        "queue.pause.act": ("Pause", "暂停"),
        "queue.pause.resume": ("Resume", "恢复"),
        "queue.pause.for": ("For", "时长"),
        "queue.pause.open": ("until it is resumed", "直到恢复"),
        "queue.pause.until": ("until", "直到"),
        "queue.pause.why": ("Reason", "原因"),
        "queue.pause.done": ("{destination} is paused.", "已暂停向 {destination} 投递。"),
        "queue.pause.over": ("{destination} is resumed.", "已恢复向 {destination} 投递。"),
        "queue.undo_of": ("Undone: {act}", "撤销：{act}"),
        "queue.act.hold": ("Hold", "扣留"),
        "queue.act.release": ("Release", "放行"),
        "queue.act.retry": ("Try now", "立即重试"),
        "queue.act.reroute": ("Send by another route", "改走其他路由"),
        "queue.act.drop": ("Give up", "放弃投递"),
        "queue.effect.hold": (
            "No attempts are made for this mail until it is released. Nothing is lost.",
            "在放行之前不再尝试投递。邮件不会丢失。",
        ),
        "queue.effect.release": (
            "Held mail is tried now, and then as scheduled.",
            "被扣留的邮件马上尝试投递，此后按计划进行。",
        ),
        "queue.effect.retry": (
            "Waiting mail is tried now, also at sites that are suspended. Nothing is deleted.",
            "等待中的邮件马上尝试投递，包括暂停连接的站点。不会删除任何邮件。",
        ),
        "queue.effect.reroute": (
            "This mail goes by the route given here, in place of the configured one, and is tried now.",
            "这些邮件改走此处指定的路由，不用配置中的路由，并马上尝试投递。",
        ),
        "queue.effect.drop": (
            "This mail is not delivered any more.",
            "这些邮件不再投递。",
        ),
        "queue.confirm.hold": ("Hold {number} recipients?", "扣留 {number} 位收件人的邮件？"),
        "queue.confirm.release": ("Release {number} recipients?", "放行 {number} 位收件人的邮件？"),
        "queue.confirm.retry": ("Try {number} recipients now?", "立即重试 {number} 位收件人的邮件？"),
        "queue.confirm.reroute": (
            "Send to {number} recipients by another route?",
            "{number} 位收件人的邮件改走其他路由？",
        ),
        "queue.confirm.drop": ("Give up {number} recipients?", "放弃投递 {number} 位收件人的邮件？"),
        "queue.done.hold": ("{number} recipients are held.", "已扣留 {number} 位收件人的邮件。"),
        "queue.done.release": (
            "{number} recipients are released and tried now.",
            "已放行 {number} 位收件人的邮件，马上尝试投递。",
        ),
        "queue.done.retry": (
            "{number} recipients are due now; the attempts follow.",
            "{number} 位收件人的邮件已到期，随后尝试投递。",
        ),
        "queue.done.reroute": (
            "{number} recipients go by another route now.",
            "{number} 位收件人的邮件已改走其他路由。",
        ),
        "queue.done.drop": ("{number} recipients are given up.", "已放弃投递 {number} 位收件人的邮件。"),
        "queue.report": ("send the senders a delivery report", "向发件人发送投递报告"),
        "queue.via": ("Route", "路由"),
        "queue.cancel": ("Cancel", "取消"),
        "queue.nothing": ("Nothing would change.", "没有可以改变的邮件。"),
        "queue.done.drop_later": (
            "{number} recipients are held, and given up in 10 minutes unless you undo it.",
            "已扣留 {number} 位收件人的邮件，10 分钟内不撤销即放弃投递。",
        ),
        "queue.can_undo": (
            "It can be undone for 10 minutes.",
            "10 分钟内可以撤销。",
        ),
        "queue.can_undo.drop": (
            "It can be undone for 10 minutes. Mail to give up is held until then.",
            "10 分钟内可以撤销；放弃投递的邮件在此之前处于扣留状态。",
        ),
        "queue.can_undo.untried": (
            "It can be undone for 10 minutes, for mail whose attempt has not begun.",
            "10 分钟内，尚未开始投递的邮件可以撤销。",
        ),
        "queue.cannot_undo": (
            "These are too many to undo. Narrow the filter if you may want to.",
            "数量过多，无法撤销。如果可能需要撤销，请缩小筛选范围。",
        ),
        "queue.final": ("at once; this cannot be undone", "立即执行，不可撤销"),
        "queue.undo": ("Undo", "撤销"),
        "queue.undo.until": ("ends", "截止于"),
        "queue.undoable.hold": ("{who} has held {number} recipients:", "{who} 扣留了 {number} 位收件人的邮件："),
        "queue.undoable.release": ("{who} has released {number} recipients:", "{who} 放行了 {number} 位收件人的邮件："),
        "queue.undoable.drop": (
            "{who} gives up {number} recipients; they are held meanwhile:",
            "{who} 要放弃投递 {number} 位收件人的邮件，目前先扣留：",
        ),
        "queue.undoable.retry": (
            "{who} has {number} recipients tried now:",
            "{who} 要求立即重试 {number} 位收件人的邮件：",
        ),
        "queue.undoable.reroute": (
            "{who} has rerouted {number} recipients:",
            "{who} 为 {number} 位收件人的邮件改设了路由：",
        ),
        "queue.undone.restore": (
            "Undone for {number} recipients, which wait as before. Attempts that had begun stay.",
            "已撤销：{number} 位收件人的邮件恢复原来的路由和重试时间；已经开始的投递无法撤销。",
        ),
        "queue.undone.release": (
            "Undone: {number} recipients are released and tried now.",
            "已撤销：{number} 位收件人的邮件重新放行，马上尝试投递。",
        ),
        "queue.undone.hold": (
            "Undone: {number} recipients are held again.",
            "已撤销：重新扣留 {number} 位收件人的邮件。",
        ),
        "queue.audit": ("Actions so far", "操作记录"),
        "queue.no_audit": ("No action was recorded.", "没有操作记录。"),
        "queue.when": ("When", "时间"),
        "queue.who": ("By", "操作者"),
        "queue.action": ("Action", "操作"),
        "queue.target": ("Route", "路由"),
        "queue.field.domain": ("the domain that the mail goes to", "邮件要送往的域"),
        "queue.field.state": (
            (
                "waiting (deferred and active too), deferred (tried before), active (being tried now), held, or, while "
                "others of the message wait, delivered or failed"
            ),
            (
                "waiting（包括 deferred 和 active）、deferred（试过）、active（正在投递）、held（已扣留）；"
                "同一邮件还有收件人在等待时，也有 delivered 或 failed"
            ),
        ),
        "queue.field.age": ("time since the message was received", "收到邮件至今的时间"),
        "queue.field.due": (
            "time until the next attempt; below 0 if it is overdue",
            "距下次尝试的时间；小于 0 表示已到期",
        ),
        "queue.field.from": (
            'the sender; "" is the null reverse-path of delivery reports',
            '发件人；"" 是投递报告的空反向路径',
        ),
        "queue.field.to": (
            "the recipient, or the alias, list or moved address that led to it",
            "收件人，或引向该收件人的别名、列表、变更前的地址",
        ),
        "queue.field.reply": ("the text of the last attempt's result", "上次尝试结果的文字"),
        "queue.field.size": ("the size of the message", "邮件大小"),
        "queue.field.attempts": ("attempts made", "已尝试的次数"),
        "queue.field.id": ("the queue id", "队列编号"),
        "queue.field.spf": ("what SPF said of the message", "SPF 对邮件的判断"),
        "queue.field.dkim": ("what DKIM said of the message", "DKIM 对邮件的判断"),
        "queue.field.dmarc": (
            "what DMARC said of the message, or the policy that it failed",
            "DMARC 对邮件的判断，或邮件未通过的策略",
        ),
        "queue.field.arc": ("what ARC said of the message", "ARC 对邮件的判断"),
    }
)
