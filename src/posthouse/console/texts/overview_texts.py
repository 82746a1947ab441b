"""The texts of the overview page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "overview.title": ("Overview", "概览"),
        "overview.lead": ("Posthouse {version}, started", "Posthouse {version}，启动于"),
        "overview.now": ("Now", "现在"),
        "overview.accepted": ("Accepted", "已接收"),
        "overview.delivered": ("Delivered", "已投递"),
        "overview.deferred": ("Deferred", "暂缓"),
        "overview.failed": ("Failed", "失败"),
        "overview.refused": ("Refused", "已拒绝"),
        "overview.per_second": ("a second", "每秒"),
        "overview.total": ("since the start:", "启动以来："),
        "overview.queue": ("Queue", "队列"),
        "overview.waiting": ("waiting", "等待中"),
        "overview.held": ("{number} held", "{number} 封被扣留"),
        "overview.oldest": ("oldest:", "最早的一封已等待"),
        "overview.empty": ("nothing waits", "没有等待的邮件"),
        "overview.sessions": ("Sessions", "会话"),
        "overview.open": ("open", "进行中"),
        "overview.attempts": ("{number} attempts under way", "{number} 次投递尝试进行中"),
        "overview.suspended": ("{number} sites suspended", "{number} 个站点暂停连接"),
        "overview.plot.hour": ("Messages and recipients a second, last hour", "最近一小时每秒的邮件与收件人数"),
        "overview.plot.day": ("Messages and recipients a second, last day", "最近一天每秒的邮件与收件人数"),
        "overview.span": ("Time shown", "显示的时间"),
        "overview.hour": ("Hour", "小时"),
        "overview.day": ("Day", "天"),
        "overview.no_plot": ("The plot begins 20 s after the start of the daemon.", "守护进程启动 20 秒后开始绘图。"),
        "overview.refusals": ("Refusals by reply", "按应答统计的拒绝"),
        "overview.command": ("Command", "命令"),
        "overview.reply": ("Reply", "应答"),
        "overview.count": ("Count", "次数"),
        "overview.see_refused": ("See the dialogues of refused sessions", "查看被拒绝的会话"),
        "overview.no_refusals": ("Nothing was refused.", "没有拒绝过任何邮件。"),
        "overview.destinations": ("Busiest destinations", "最繁忙的目的域"),
        "overview.destination": ("Destination", "目的域"),
        "overview.no_destinations": ("Nothing was tried yet.", "还没有投递尝试。"),
        "overview.latencies": ("Latencies", "延迟"),
        "overview.what": ("From … to …", "从……到……"),
        "overview.latency.commit": ("end of content → its reply", "内容结束 → 应答"),
        "overview.latency.delivery": ("acceptance → delivery to another host", "接收 → 投递到其他主机"),
        "overview.latency.attempt": ("start of an attempt → its end", "尝试开始 → 尝试结束"),
        "overview.latency.note": (
            "Measured in the sessions and attempts that are recorded.",
            "取自已记录的会话与投递尝试。",
        ),
        "overview.machine": ("Disk and processes", "磁盘与进程"),
        "overview.disk": ("Disk", "磁盘"),
        "overview.free": ("{free} of {size} free", "共 {size}，可用 {free}"),
        "overview.spool": ("Spool's database", "队列数据库"),
        "overview.lost": ("{number} contents in spool/lost", "spool/lost 中有 {number} 份内容"),
        "overview.certificate": ("Certificate", "证书"),
        "overview.self_signed": ("self-signed", "自签名"),
        "overview.ends": ("ends", "到期时间"),
        "overview.soon": ("soon", "即将到期"),
        "overview.worker": ("Worker process", "工作进程"),
        "overview.since": ("Since", "启动时间"),
        "overview.sending": ("Sending", "发送中"),
        "overview.metrics": ("Metrics for Prometheus", "供 Prometheus 采集的指标"),
    }
)
