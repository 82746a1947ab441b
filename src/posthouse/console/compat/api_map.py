"""Calls of Mailpit, MailHog and smtp4dev, and what does the same here: for people who move a test suite."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.codes.model import Text

__all__ = ["API_MAP", "ForeignCall", "map_as_markdown"]

_SAME: Final = Text("the same", "相同")
_NONE: Final = Text("", "")


class ForeignCall(NamedTuple):
    """A call of another catcher.

    Args:
        tool: Mailpit, MailHog or smtp4dev.
        call: Method and path.
        here: The same call where it is served as it is; else what does the same here, "" for nothing.
        note: What is different.
    """

    tool: str
    call: str
    here: str
    note: Text = _NONE

    @property
    def served(self) -> bool:
        """Whether the call itself is answered."""
        return self.here == self.call


def _served(tool: str, call: str, english: str = "", chinese: str = "") -> ForeignCall:
    return ForeignCall(tool, call, call, Text(english, chinese))


_MAILPIT: Final = (
    _served("Mailpit", "GET /api/v1/messages", "At most 1,000 rows.", "最多 1,000 行。"),
    _served(
        "Mailpit",
        "GET /api/v1/search",
        "addressed: does not look at From; message-id: wants the whole id; is:tagged and has:inline are ignored.",
        "addressed: 不查 From；message-id: 须为完整编号；忽略 is:tagged 和 has:inline。",
    ),
    _served("Mailpit", "DELETE /api/v1/search", "It can be undone for a while.", "一段时间内可以撤销。"),
    _served("Mailpit", "PUT /api/v1/messages"),
    _served(
        "Mailpit",
        "DELETE /api/v1/messages",
        "A body with anything but IDs, or that is neither JSON nor a form, is refused (400) and deletes nothing.",
        "请求体含 IDs 以外的内容，或者既不是 JSON 也不是表单时，应答 400，不删除任何邮件。",
    ),
    _served(
        "Mailpit",
        "GET /api/v1/message/{id}",
        "Marks as read, unless a page of another site asks. GET /api/inbox/read does not.",
        "会标为已读（其他网站的页面发起时除外）；GET /api/inbox/read 不会。",
    ),
    _served("Mailpit", "GET /api/v1/message/{id}/headers"),
    _served("Mailpit", "GET /api/v1/message/{id}/raw"),
    _served(
        "Mailpit",
        "GET /api/v1/message/{id}/part/{part}",
        "Types that a browser could run are downloads.",
        "浏览器可能执行的类型一律作为下载。",
    ),
    _served(
        "Mailpit",
        "GET /api/v1/message/{id}/part/{part}/thumb",
        "The picture itself, not made smaller.",
        "返回原图，不缩小。",
    ),
    _served(
        "Mailpit",
        "POST /api/v1/message/{id}/release",
        "To the server of release_via, to addresses of release_to.",
        "只经 release_via 的服务器，发往 release_to 允许的地址。",
    ),
    _served("Mailpit", "POST /api/v1/send", "The tags travel in the field X-Tags.", "标签放在 X-Tags 字段中。"),
    _served("Mailpit", "GET /api/v1/tags", "Tags are in small letters.", "标签一律小写。"),
    _served("Mailpit", "PUT /api/v1/tags"),
    _served("Mailpit", "PUT /api/v1/tags/{name}"),
    _served("Mailpit", "DELETE /api/v1/tags/{name}"),
    _served("Mailpit", "GET /api/v1/chaos"),
    _served("Mailpit", "PUT /api/v1/chaos"),
    _served("Mailpit", "GET /api/v1/info", "Memory and deleted messages are 0.", "Memory 和已删除邮件数为 0。"),
    _served("Mailpit", "GET /api/v1/webui"),
    _served("Mailpit", "GET /search", "Leads to the page of the search.", "转到搜索结果页。"),
    _served("Mailpit", "GET /view/{id}", "Leads to the page of the message.", "转到邮件页。"),
    _served("Mailpit", "GET /view/{id}.html", "Without what could run.", "去除可执行的内容。"),
    _served("Mailpit", "GET /view/{id}.txt"),
    _served("Mailpit", "GET /metrics", "With names of its own.", "指标名称不同。"),
    _served("Mailpit", "GET /livez"),
    _served("Mailpit", "GET /readyz"),
    _served("Mailpit", "WebSocket /api/events", "new and stats only.", "只有 new 和 stats。"),
    _served(
        "Mailpit",
        "GET /api/v1/message/{id}/html-check",
        "With html_support of [inbox]; 400 without. Each program in the version that was tested last.",
        "需设置 [inbox] 的 html_support，否则应答 400。每个程序只列最近测试的版本。",
    ),
    _served(
        "Mailpit",
        "GET /api/v1/message/{id}/link-check",
        "Redirects are always followed. Hosts that are not public are asked only in link_networks of [inbox].",
        "总是跟随重定向；非公网主机只检查 [inbox] 的 link_networks 中的。",
    ),
    ForeignCall("Mailpit", "GET /api/v1/message/{id}/sa-check", "", Text("404.", "应答 404。")),
)
_MAILHOG: Final = (
    _served("MailHog", "GET /api/v2/messages"),
    _served("MailHog", "GET /api/v2/search"),
    _served("MailHog", "GET /api/v2/jim"),
    _served("MailHog", "POST /api/v2/jim", "Chances in whole percent.", "概率取整为百分之一。"),
    _served("MailHog", "PUT /api/v2/jim"),
    _served("MailHog", "DELETE /api/v2/jim"),
    _served("MailHog", "GET /api/v2/outgoing-smtp", "Always empty.", "始终为空。"),
    _served("MailHog", "WebSocket /api/v2/websocket"),
    _served("MailHog", "GET /api/v1/messages/{id}"),
    _served("MailHog", "DELETE /api/v1/messages/{id}"),
    _served("MailHog", "DELETE /api/v1/messages"),
    _served("MailHog", "GET /api/v1/messages/{id}/download"),
    _served("MailHog", "GET /api/v1/messages/{id}/mime/part/{part}/download"),
    _served(
        "MailHog",
        "POST /api/v1/messages/{id}/release",
        "The server of the request is not asked; that of release_via is.",
        "不使用请求中给出的服务器，只经 release_via。",
    ),
    ForeignCall(
        "MailHog",
        "GET /api/v1/messages",
        "GET /api/v2/messages",
        Text("The path answers in Mailpit's shape.", "该路径按 Mailpit 的格式应答。"),
    ),
    _served("MailHog", "GET /api/v1/events"),
)
_SMTP4DEV: Final = (
    ForeignCall("smtp4dev", "GET /api/messages?searchTerms=…", "GET /api/inbox/search?query=…"),
    ForeignCall("smtp4dev", "GET /api/messages/new?lastSeenMessageId=…", "GET /api/inbox/search?after=…"),
    ForeignCall("smtp4dev", "GET /api/messages/{id}", "GET /api/inbox/read?number=…"),
    ForeignCall("smtp4dev", "GET /api/messages/{id}/source", "GET /api/v1/message/{id}/raw"),
    ForeignCall("smtp4dev", "GET /api/messages/{id}/raw", "GET /api/v1/message/{id}/raw"),
    ForeignCall("smtp4dev", "GET /api/messages/{id}/download", "GET /api/v1/message/{id}/raw?dl=1"),
    ForeignCall("smtp4dev", "GET /api/messages/{id}/plaintext", "GET /view/{id}.txt"),
    ForeignCall(
        "smtp4dev",
        "GET /api/messages/{id}/html",
        "GET /api/inbox/read?number=…",
        Text("The field html.", "字段 html。"),
    ),
    ForeignCall("smtp4dev", "GET /api/messages/{id}/part/{part}/content", "GET /api/inbox/part?number=…&part=…"),
    ForeignCall(
        "smtp4dev",
        "GET /api/messages/{id}/part/{part}/source",
        "GET /api/inbox/source?number=…",
        Text("The source of the whole message.", "整封邮件的原文。"),
    ),
    ForeignCall(
        "smtp4dev",
        "GET /api/messages/{id}/part/{part}/raw",
        "GET /api/inbox/source?number=…",
        Text("The source of the whole message.", "整封邮件的原文。"),
    ),
    ForeignCall("smtp4dev", "POST /api/messages/{id}/markRead", "POST /api/inbox/mark"),
    ForeignCall("smtp4dev", "POST /api/messages/markAllRead", "POST /api/inbox/mark", Text("With all.", "带 all。")),
    ForeignCall(
        "smtp4dev",
        "POST /api/messages/{id}/reply",
        "POST /api/inbox/send",
        Text("A message made whole.", "完整的邮件。"),
    ),
    ForeignCall("smtp4dev", "POST /api/messages/{id}/relay", "POST /api/inbox/release"),
    ForeignCall("smtp4dev", "POST /api/messages/send", "POST /api/v1/send"),
    ForeignCall("smtp4dev", "PUT /api/messages", "POST /api/inbox/import"),
    ForeignCall("smtp4dev", "DELETE /api/messages/{id}", "POST /api/inbox/delete"),
    ForeignCall(
        "smtp4dev", "DELETE /api/messages/*", "POST /api/inbox/delete", Text("With all, or a view.", "带 all 或视图。")
    ),
    ForeignCall("smtp4dev", "GET /api/sessions", "GET /api/monitor/sessions"),
    ForeignCall("smtp4dev", "GET /api/sessions/{id}", "GET /api/monitor/session?id=…"),
    ForeignCall("smtp4dev", "GET /api/sessions/{id}/log", "GET /api/monitor/session?id=…"),
    ForeignCall(
        "smtp4dev",
        "DELETE /api/sessions/*",
        "",
        Text("The last sessions are kept in memory, and go by themselves.", "最近的会话保存在内存中，自行淘汰。"),
    ),
    ForeignCall("smtp4dev", "GET /api/mailboxes", "GET /api/inbox/views"),
    ForeignCall("smtp4dev", "GET /api/version", "GET /api/v1/info", Text("The field Version.", "字段 Version。")),
    ForeignCall("smtp4dev", "GET /api/server", "GET /api/check/settings"),
    ForeignCall(
        "smtp4dev",
        "SignalR /hubs/notifications",
        "GET /events",
        Text("Server-sent events; WebSocket /api/events too.", "服务器推送事件；也有 WebSocket /api/events。"),
    ),
)

#: The calls, tool by tool.
API_MAP: Final = (*_MAILPIT, *_MAILHOG, *_SMTP4DEV)

_INTRODUCTION: Final = """\
<!-- Generated from console/compat/api_map.py; a test compares. -->

# The API of other catchers

A test suite written for Mailpit or MailHog runs against the console without a change: these calls are answered as
there, at the console's address. Ids are queue ids, as in the reply `250 … queued as <id>`. For smtp4dev the table
names what does the same; its own paths are not served.

To wait for a message needs no loop here: `GET /api/inbox/wait?to=ann@example.com&after=<cursor>` answers as soon as it
has come, and says what did come if it has not. See [the console](console.md).

The rules of the console hold for these calls too: a request from a page of another site changes nothing, and where a
login is needed, HTTP Basic with an account or a token as the password works for these clients.
"""


def map_as_markdown() -> str:
    """The manual's page of the map."""
    parts = [_INTRODUCTION]
    for tool in ("Mailpit", "MailHog", "smtp4dev"):
        rows = [each for each in API_MAP if each.tool == tool]
        parts.append(f"\n## {tool}\n\n| call | here | different |\n|---|---|---|\n")
        parts += [f"| `{each.call}` | {_here(each)} | {each.note.en} |\n" for each in rows]
    return "".join(parts)


def _here(call: ForeignCall) -> str:
    if call.served:
        return _SAME.en
    return f"`{call.here}`" if call.here else "not served"


if __name__ == "__main__":
    print(map_as_markdown(), end="")
