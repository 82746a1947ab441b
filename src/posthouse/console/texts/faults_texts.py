"""The texts of the faults page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "faults.title": ("Faults", "故障模拟"),
        "faults.lead": (
            "Let the catcher fail on demand, to see what your program does. Faults end when the daemon stops.",
            "让截留服务器按要求出错，观察你的程序如何应对。守护进程停止后，故障随之结束。",
        ),
        "faults.notice": ("{number} faults are switched on: {names}", "已开启 {number} 个故障：{names}"),
        "faults.notice.one": ("A fault is switched on: {names}", "已开启一个故障：{names}"),
        "faults.impossible": (
            "No listener of this daemon can have faults; the catcher can, and one with fault_addresses = true.",
            "本守护进程的监听端口都不能模拟故障；截留服务器可以，设置了 fault_addresses = true 的端口也可以。",
        ),
        "faults.none": ("No fault is switched on.", "没有开启故障。"),
        "faults.on": ("Switched on", "已开启"),
        "faults.new": ("Switch a fault on", "开启故障"),
        "faults.name": ("Name", "名称"),
        "faults.stage": ("At", "时机"),
        "faults.stage.connect": ("the connection", "建立连接时"),
        "faults.stage.helo": ("EHLO or HELO", "EHLO 或 HELO"),
        "faults.stage.auth": ("AUTH", "AUTH"),
        "faults.stage.mail": ("MAIL", "MAIL"),
        "faults.stage.rcpt": ("RCPT", "RCPT"),
        "faults.stage.data": ("DATA, before the content", "DATA，内容之前"),
        "faults.stage.end": ("the end of the content", "内容结束时"),
        "faults.stage.all": ("every answer (delay only)", "每个应答（仅延迟）"),
        "faults.does": ("What happens", "故障"),
        "faults.does.reply": ("A reply", "应答"),
        "faults.does.drop": ("The connection is cut", "断开连接"),
        "faults.does.delay": ("Only a delay", "仅延迟"),
        "faults.reply": ("Reply", "应答内容"),
        "faults.delay": ("Delay", "延迟"),
        "faults.to": ("Recipients", "收件人"),
        "faults.sender": ("Senders", "发件人"),
        "faults.percent": ("Of 100", "百分比"),
        "faults.times": ("How often", "次数"),
        "faults.rate": ("Beyond, a minute", "每分钟超过"),
        "faults.lasts": ("Ends after", "持续时间"),
        "faults.struck": ("Struck", "已发生"),
        "faults.left": ("Left", "剩余"),
        "faults.until": ("Until", "截止"),
        "faults.only": ("Only for", "仅限"),
        "faults.any": ("all", "全部"),
        "faults.switch_on": ("Switch on", "开启"),
        "faults.switch_off": ("Switch off", "关闭"),
        "faults.all_off": ("Switch all off", "全部关闭"),
        "faults.switched_on": ("The fault {name} is switched on.", "故障 {name} 已开启。"),
        "faults.switched_off": ("{number} switched off.", "已关闭 {number} 个。"),
        "faults.waits": ("waits {seconds} s", "延迟 {seconds} 秒"),
        "faults.cuts": ("cuts the connection", "断开连接"),
        "faults.to_only": ("to {pattern}", "收件人 {pattern}"),
        "faults.sender_only": ("from {pattern}", "发件人 {pattern}"),
        "faults.percent_only": ("{number} %", "{number} %"),
        "faults.rate_only": ("beyond {number} a minute", "每分钟超过 {number} 个"),
        "faults.addresses": ("Faults by address", "按地址触发的故障"),
        "faults.word.tempfail": ("451 4.3.0: try again later.", "应答 451 4.3.0，请稍后重试。"),
        "faults.word.permfail": ("550 5.1.1: refused for good.", "应答 550 5.1.1，永久拒绝。"),
        "faults.word.greylist": (
            "451 4.7.1 the first time, as a server with greylisting answers.",
            "第一次应答 451 4.7.1，如同启用了灰名单的服务器。",
        ),
        "faults.word.mailbox-full": ("552 5.2.2: the mailbox is full.", "应答 552 5.2.2，邮箱已满。"),
        "faults.word.reply-CODE": (
            "Any code from 400 to 599, such as reply-452@; 421 ends the session.",
            "400 到 599 之间的任意应答码，例如 reply-452@；421 会结束会话。",
        ),
        "faults.word.slow": ("The answer comes 5 s late; slow+60@ 60 s late.", "延迟 5 秒应答；slow+60@ 延迟 60 秒。"),
        "faults.word.drop": ("The connection is cut without a word.", "不作应答，直接断开连接。"),
        "faults.addresses.more": (
            "tempfail+2@ fails twice, then all is well. permfail-at-data@ fails at DATA, permfail-after-data@ later.",
            "tempfail+2@ 失败两次后恢复正常。permfail-at-data@ 在 DATA 时出错，permfail-after-data@ 在内容之后。",
        ),
        "faults.addresses.lead": (
            "A recipient with one of these names asks for a fault by itself; nothing has to be switched on.",
            "收件人使用下列名称时，自行触发故障，无需开启。",
        ),
    }
)
