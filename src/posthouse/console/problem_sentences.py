"""Chinese sentences of the errors that people meet on pages.

Each row has the pattern of an English sentence and its Chinese form, in which ``{0}`` is the first group.  What no row
matches is shown in English, and marked as English for programs that read pages aloud.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["problem_sentence"]

_ROWS: Final = (
    # Filters and searches
    (
        r'there is no field "(.*)" \(at character (\d+)\); did you mean "(.*)", as in (.*)\?',
        "没有字段“{0}”（第 {1} 个字符处）；是否想写“{2}”，例如 {3}？",
    ),
    (
        r'there is no field "(.*)" \(at character (\d+)\); .*',
        "没有字段“{0}”（第 {1} 个字符处）；可用的字段见“筛选语法”。",
    ),
    (
        r'"(.*)" is compared with nothing \(at character (\d+)\); write a value, as in (.*)',
        "“{0}”之后没有值（第 {1} 个字符处）；请写上值，例如 {2}。",
    ),
    (r'"(.*)" cannot be compared with (\S+) \(at character (\d+)\); .*', "“{0}”不能用 {1} 比较（第 {2} 个字符处）。"),
    (
        r"the quotation mark that opens here never closes \(at character (\d+)\); .*",
        '第 {0} 个字符处的引号没有结束；请把值写在“"…"”之间。',
    ),
    (r"there are more than (\d+) conditions .*", "条件超过 {0} 个；请去掉一些。"),
    (r"the filter is longer than (\d+) characters .*", "筛选条件超过 {0} 个字符；请缩短。"),
    (r"the search is longer than (\d+) characters; .*", "搜索内容超过 {0} 个字符；请减少一次搜索的内容。"),
    (r"the search has more than (\d+) terms; .*", "搜索条件超过 {0} 个；请减少一次搜索的内容。"),
    (r'"(.*)" is no size; .*', "“{0}”不是大小；请写字节数，或带 K、M、G 的数，例如 size>500K。"),
    (r'"(.*)" is no duration; .*', "“{0}”不是时长；请写带单位的数，例如 age<2h。"),
    (r'"(.*)" is no date; .*', "“{0}”不是日期；请写 2026-04-01 或 2026-04-01T12:30。"),
    (r'"(.*)" is no view of the inboxes; .*', "没有视图“{0}”；请写地址、@域名、tag:标签、login:登录名或 box:收件箱。"),
    (r'"(.*)" is no queue id .*', "“{0}”不是队列编号；编号有 13 个字母和数字，队列页列有。"),
    # Messages
    (r"no inbox has a message number (\d+); .*", "收件箱中没有编号为 {0} 的邮件；可能已被删除。"),
    (r'"(.*)" is no number of a message', "“{0}”不是邮件编号。"),
    (r'message (\d+) has no part "(.*)"; .*', "邮件 {0} 没有部分“{1}”。"),
    (r"message (\d+) has no HTML", "邮件 {0} 没有 HTML。"),
    (r"no message is there yet that the search finds", "还没有符合搜索的邮件。"),
    (r"no message is chosen", "没有选择邮件。"),
    (r"more than ([\d,]+) messages are chosen", "选择的邮件超过 {0} 封。"),
    (
        r"nothing can be undone; .*|there is no deletion \d+ that can be undone; .*",
        "没有可以撤销的删除；过了时限的删除不能撤销。",
    ),
    (r"no tag is named; .*", "没有写标签；多个标签之间用逗号分隔。"),
    (r"no address is named", "没有写地址。"),
    (
        r"nothing may be released to (.*); add the address to (release_to of \[inbox\]), and reload",
        "不允许转送到 {0}；请把地址加入 [inbox] 的 release_to，再重新加载配置。",
    ),
    (
        r"no server is named by which a message could be released; .*",
        "没有指定转送邮件的服务器；请在配置的 [inbox] 中写 release_via 和 release_to。",
    ),
    (
        r"""(?:to|cc) ['"](.*)['"] is not a mailbox; .*""",
        "收件人“{0}”不是邮箱；请写 name@domain，或“姓名 <name@domain>”，含逗号等特殊字符的姓名加引号。",
    ),
    (
        r"""sender ['"](.*)['"] is not a mailbox; .*""",
        "发件人“{0}”不是邮箱；请写 name@domain，或“姓名 <name@domain>”，含逗号等特殊字符的姓名加引号。",
    ),
    (
        r"""(?:to|cc|sender) has no valid domain: ['"](.*)['"]; .*""",
        "“{0}”没有正确的域名；@ 后请写主机名或 [IP 地址]。",
    ),
    (r"no recipient is named, or too many; write 1 to (\d+) addresses", "没有收件人，或者太多；请写 1 到 {0} 个地址。"),
    (r"the files have more than (\d+) MiB together", "附件合计超过 {0} MiB。"),
    # Queue, history, sessions
    (r"choose messages, or write a filter; all means every message", "请选择邮件，或写筛选条件；all 表示全部邮件。"),
    (r"choose at most (\d+) messages, or write a filter", "最多选择 {0} 封邮件，或者写筛选条件。"),
    (
        r"there is no message (.*): it was never here, or its history is no longer kept",
        "没有邮件 {0}：从未到过这里，或者它的经过已不再保留。",
    ),
    (r"there is no session (.*) any more; .*", "会话 {0} 已不在：早已结束，或属于另一个守护进程。"),
    (r'"(.*)" is no session; .*', "“{0}”不是会话；会话的名称形如 in0.17。"),
    (r'"(.*)" names no client; .*', "“{0}”不是客户端；请照邮件中的来源写，例如 mx 192.0.2.1:40000。"),
    # Requests
    (
        r"the form is too old or is not from this console; load its page again",
        "表单已过期，或不是本控制台的；请重新打开页面。",
    ),
    (r"this login may read and change nothing", "此登录只能查看，不能更改。"),
    (r'"(.*)" is not a number from (\d+) to (\d+)', "“{0}”不是 {1} 到 {2} 之间的数。"),
    (r"the body is larger than the ([\d,]+) octets that are taken here", "请求体超过此处接受的 {0} 字节。"),
    (r"the console met an error of its own; the daemon's log has it", "控制台自身出错；详情见守护进程的日志。"),
)
_SENTENCES: Final = tuple((re.compile(pattern, re.DOTALL), text) for pattern, text in _ROWS)


def problem_sentence(sentence: str, language: str) -> tuple[str, str]:
    """The sentence of an error in a language, and the language that it is in."""
    if language == "zh":
        for pattern, text in _SENTENCES:
            if (found := pattern.fullmatch(sentence)) is not None:
                return text.format(*found.groups()), "zh"
    return sentence, "en"
