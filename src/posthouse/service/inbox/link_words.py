"""What the check of a link found, as a sentence in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from posthouse.codes.model import Text

__all__ = ["LINK_KINDS", "LINK_RESULTS", "link_sentence"]

#: Results and their words: the link works, is broken, leaves it open, or was not asked for.
LINK_RESULTS: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "works": Text("works", "可用"),
        "broken": Text("broken", "失效"),
        "open": Text("unclear", "不确定"),
        "skipped": Text("not asked", "未检查"),
    }
)

#: Kind of finding → its result and its sentence; ``{status}``, ``{detail}`` and ``{place}`` stand for values.
LINK_KINDS: Final[Mapping[str, tuple[str, Text]]] = MappingProxyType(
    {
        "ok": ("works", Text("The page is there ({status}).", "页面存在（{status}）。")),
        "moved": (
            "works",
            Text(
                "The link leads on to {place}, which is there ({status}).", "链接转到 {place}，页面存在（{status}）。"
            ),
        ),
        "gone": ("broken", Text("Nothing is at this address ({status}).", "该地址上没有内容（{status}）。")),
        "refused": (
            "open",
            Text(
                "The server does not let this check in ({status}); a browser may see the page.",
                "服务器拒绝了这次检查（{status}）；浏览器或许能看到页面。",
            ),
        ),
        "fault": (
            "broken",
            Text("The server has a fault ({status}).", "服务器出错（{status}）。"),
        ),
        "status": ("broken", Text("The server answers {status}.", "服务器应答 {status}。")),
        "name": ("broken", Text('No host has the name "{detail}".', "没有名为“{detail}”的主机。")),
        "unreachable": ("broken", Text("{detail} takes no connection.", "{detail} 不接受连接。")),
        "silent": ("broken", Text("{detail} does not answer in time.", "{detail} 未及时应答。")),
        "certificate": (
            "broken",
            Text("The server's certificate is not right: {detail}.", "服务器证书有误：{detail}。"),
        ),
        "tls": ("broken", Text("TLS with the server failed: {detail}.", "与服务器建立 TLS 失败：{detail}。")),
        "no_http": ("broken", Text("{detail} does not answer by HTTP.", "{detail} 的应答不是 HTTP。")),
        "hops": (
            "broken",
            Text("The link leads on more than {detail} times.", "链接转向超过 {detail} 次。"),
        ),
        "invalid": ("broken", Text('"{detail}" is no web address.', "“{detail}”不是网址。")),
        "scheme": (
            "skipped",
            Text("A {detail} link is not asked for: it leads to no page.", "{detail} 链接不检查：它不指向网页。"),
        ),
        "login": (
            "skipped",
            Text(
                "The address has a name or a password in it, which is sent nowhere.",
                "网址中含有用户名或密码，不会发送出去。",
            ),
        ),
        "port": (
            "skipped",
            Text(
                "Port {detail} is not one of the web: 80, 443, and 1024 and above are asked.",
                "端口 {detail} 不是网页端口：只检查 80、443 以及 1024 以上的端口。",
            ),
        ),
        "private": (
            "skipped",
            Text(
                "{detail} is not a public address; name its network in link_networks of [inbox] to have it asked.",
                "{detail} 不是公网地址；如需检查，请把它所在的网络写入 [inbox] 的 link_networks。",
            ),
        ),
        "itself": (
            "skipped",
            Text(
                "{detail} is this machine itself; name its network in link_networks of [inbox] to have it asked.",
                "{detail} 是本机；如需检查，请把它所在的网络写入 [inbox] 的 link_networks。",
            ),
        ),
        "many": (
            "skipped",
            Text("Only the first {detail} links of a message are asked for.", "每封邮件只检查前 {detail} 个链接。"),
        ),
        "late": (
            "skipped",
            Text("The check of this message took {detail} s, and ended.", "检查已用 {detail} 秒，到此为止。"),
        ),
    }
)


def link_sentence(kind: str, lang: str = "en", *, status: int = 0, detail: str = "", place: str = "") -> str:
    """The finding as a sentence in ``lang``."""
    return LINK_KINDS[kind][1].said(lang).format(status=status, detail=detail, place=place)
