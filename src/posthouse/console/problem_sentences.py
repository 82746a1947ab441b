"""Chinese sentences of the errors that people meet on pages.

Each row has the pattern of an English sentence and its Chinese form, in which ``{0}`` is the first group.  What no row
matches is shown in English, and marked as English for programs that read pages aloud.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.service.config.file_faults_zh import chinese_file_fault

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
    (r'(?:\w+: )?"(.*)" is no duration; .*', "“{0}”不是时长；请写带单位的数，例如 90s 或 2h。"),
    (r'"(.*)" is no date; .*', "“{0}”不是日期；请写 2026-04-01 或 2026-04-01T12:30。"),
    (r'"(.*)" is no view of the inboxes; .*', "没有视图“{0}”；请写地址、@域名、tag:标签、login:登录名或 box:收件箱。"),
    (r'"(.*)" is no queue id .*', "“{0}”不是队列编号；编号有 13 个字母和数字，队列页列有。"),
    (
        r'there is no (state|result) "(.*)" \(at character (\d+)\); did you mean "?(.*?)"?\?',
        "没有值“{1}”（第 {2} 个字符处）；是否想写 {3}？",
    ),
    (
        r'there is no (state|result) "(.*)" \(at character (\d+)\); there are (.*)',
        "没有值“{1}”（第 {2} 个字符处）；可写 {3}。",
    ),
    (
        r'"(.*)" is no condition \(at character (\d+)\); did you mean (.*), or (.*)\?',
        "“{0}”不是条件（第 {1} 个字符处）；是否想写 {2} 或 {3}？",
    ),
    (
        r'"(.*)" is no condition \(at character (\d+)\); did you mean (.*)\?',
        "“{0}”不是条件（第 {1} 个字符处）；是否想写 {2}？",
    ),
    (
        r'"(.*)" is no condition \(at character (\d+)\); conditions stand side by side .*',
        "“{0}”不是条件（第 {1} 个字符处）；各条件并列书写，须同时满足，否定用 !=。",
    ),
    (
        r'"(.*)" is no condition \(at character (\d+)\); .*',
        "“{0}”不是条件（第 {1} 个字符处）；请依次写字段、运算符和值，例如 from:*@example.net。",
    ),
    (r'"(.*)" is no whole number \(at character (\d+)\); .*', "“{0}”不是整数（第 {1} 个字符处）；例如 3。"),
    (r'"(.*)" is no domain name \(at character (\d+)\); .*', "“{0}”不是域名（第 {1} 个字符处）。"),
    (r"this time is never below 0 \(at character (\d+)\); .*", "第 {0} 个字符处的时长不会小于 0。"),
    (r"there is no (is|has):(.*); write (.*)", "没有 {0}:{1}；请写 {2}。"),
    (r'"(.*)" is no number and no queue id; .*', "“{0}”不是编号，也不是队列编号；请写 id:7，或 13 位的队列编号。"),
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
    (r'(?:\w+: )?"(.*)" is no address; .*', "“{0}”不是地址；请写 user@domain。"),
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
    (r"more than (\d+) tags; .*", "标签超过 {0} 个；请减少一次所写的标签。"),
    (r"a number of a message is wrong", "邮件编号有误。"),
    (r"the place up to which all messages are meant is missing \(until\)", "缺少“全部邮件”截止到何处（until）。"),
    (r"tags are given to chosen messages", "标签只能加在选定的邮件上。"),
    (r'there is no act "(.*)": (.*)', "没有操作“{0}”；可用的操作：{1}。"),
    (r"this message cannot be answered: .*", "不能回复这封邮件：其中没有可以回复的地址。"),
    (
        r"the message was not released: (.*); see whether (.*) takes mail",
        "邮件没有转送：{0}；请确认 {1} 是否接收邮件。",
    ),
    (r"the message was not taken: (.*); try again later", "邮件没有被接收：{0}；请稍后重试。"),
    (r"messages are taken by a running daemon; start it: (.*)", "守护进程运行时才能接收邮件；请启动：{0}。"),
    (r"the content is empty or too large; .*", "邮件内容为空或过大。"),
    (
        r"no data about mail programs is named; .*",
        "没有指定邮件程序的数据；请在 [inbox] 中写 html_support，来源见手册的控制台一章。",
    ),
    (
        r"(.*) is larger than (\d+) MiB; name the data file of caniemail",
        "{0} 超过 {1} MiB；请指定 caniemail 的数据文件。",
    ),
    (
        r"(?:html_support: )?html_support cannot be read \((.*)\); .*",
        "html_support 的文件不能读取（{0}）；请指定 caniemail 的数据文件。",
    ),
    (r"(?:html_support: )?html_support is no data of caniemail; .*", "html_support 的文件不是 caniemail 的数据。"),
    # Queue, history, sessions
    (r'there is no action "(.*)"; there are (.*)', "没有操作“{0}”；可用的操作：{1}。"),
    (r"say which action: its number", "请写明撤销哪个操作：写它的编号。"),
    (r"no filter says what to (\S+); .*", "没有筛选条件；请写条件，例如 domain:example.org，all 表示全部邮件。"),
    (r"the queue ids are too many, or are none; .*", "队列编号过多，或不是队列编号。"),
    (r'"(.*)" is no time for undoing; .*', "“{0}”不是撤销时限；请写 1s 到 1d，例如 10m。"),
    (
        r"the filter selects more than ([\d,]+) recipients, too many to undo; .*",
        "筛选出的收件人超过 {0} 位，无法撤销；请缩小筛选范围，或不设撤销时限。",
    ),
    (
        r"action (\d+) cannot be undone any more; .*",
        "操作 {0} 已不能撤销。",
    ),
    (r"there is nothing to undo; .*", "没有可以撤销的操作。"),
    (
        r"(\d+) actions can be undone already; .*",
        "可撤销的操作已有 {0} 个；请等其中一个到期，或不设撤销时限。",
    ),
    (r"(?:.*: )?an action to undo cannot be read: (.*)", "不能读取可撤销的操作：{0}"),
    (r"what can be undone cannot be written into (.*?): (.*)", "不能把可撤销的操作写入 {0}：{1}"),
    (
        r'via: "(.*)" is no route; .*',
        "“{0}”不是路由；请写 mx、smtp://HOST:PORT、smtps://HOST、smtp+starttls://HOST 或 lmtp://HOST:PORT。",
    ),
    (
        r'via: "(.*)": this is not a host and port; .*',
        "路由中的“{0}”不是主机和端口；请写 smtp://HOST:PORT。",
    ),
    (r"via: a user name and password do not stand in the address; .*", "路由的地址中不能写用户名和密码。"),
    (r"([\d,]+) destinations are paused; .*", "已暂停 {0} 个目的域；请先恢复一些，或改为扣留邮件。"),
    (r"the reason is longer than (\d+) characters; .*", "理由超过 {0} 个字符；请缩短。"),
    (r"(\S+) is not paused; paused are (.*)", "{0} 没有暂停；已暂停的有 {1}。"),
    (r"(\S+) is not paused; .*", "{0} 没有暂停。"),
    (r'"(.*)" is no destination; .*', "“{0}”不是目的域；请写一个域名，例如 example.org。"),
    (r"(?:.*: )?the pauses cannot be read: (.*)", "不能读取暂停记录：{0}"),
    (r"(?:.*: )?the pauses cannot be written: (.*); see its directory", "不能写入暂停记录：{0}；请查看所在目录。"),
    (r'no message "(.*)" is known, and no history of one; .*', "没有邮件“{0}”，也没有它的经过；见队列页。"),
    (r"no message with the Message-ID (.*) is known; .*", "没有 Message-ID 为 {0} 的邮件。"),
    (
        r'"(.*)" cannot be explained; .*',
        "无法解释“{0}”；请写队列编号、尖括号中的 Message-ID、地址、应答码、命令或设置的名称。",
    ),
    (r'"(.*)" is no reply code; .*', "“{0}”不是应答码；例如 550 或 5.1.1。"),
    (r'there is no message "(.*)"; .*', "没有邮件“{0}”；见队列页。"),
    (r"no daemon runs on (.*); .*", "{0} 没有守护进程在运行；请启动：posthouse run。"),
    (r'there is no direction "(.*)"; .*', "没有方向“{0}”；in 是客户端来的会话，out 是去往其他主机的会话。"),
    # Faults
    (r"no fault is named, or in two ways; .*", "没有写明是哪个故障，或写了两种；请写故障的名称，或 all。"),
    (r'no fault "(.*)" is switched on; .*', "没有开启故障“{0}”。"),
    (r'name: "(.*)" is no name of a fault; .*', "“{0}”不能作故障的名称；最多 60 个字母、数字和 - _ .。"),
    (
        r"listener\[\]\.fault_addresses: no listener of this daemon can have faults; .*",
        "本守护进程的监听端口都不能模拟故障；请运行截留服务器（posthouse run），或设置 fault_addresses = true。",
    ),
    (r"(\d+) faults are switched on, which is the most; .*", "已开启 {0} 个故障，不能再多；请先关闭一些。"),
    (r"percent: (.*) is no percentage from 1 to 100", "{0} 不是 1 到 100 的百分比。"),
    (
        r"times, rate: a number of times is 0 or more, .*",
        "次数不小于 0，速率最多每分钟 100,000。",
    ),
    (r"the fault does nothing; .*", "这个故障什么也不做；请写应答（如 451）、延迟或断开。"),
    (r"a connection is cut without a reply; .*", "断开连接时没有应答；应答和断开请只选一种。"),
    (r'the stage "all" is for a delay alone; .*', "阶段 all 只能用于延迟；请选一个阶段，例如 rcpt。"),
    (r'\w+: "(.*)" is no number; write digits', "“{0}”不是数；请写数字。"),
    # Checks, practice
    (
        r"""['"](.*)['"] is no domain name; give one with two labels or more, .*""",
        "“{0}”不是域名；请写至少两级的域名，例如 example.org。",
    ),
    (
        r"the message is larger than (\d+) MiB; check it on the command line",
        "邮件超过 {0} MiB；请在命令行检查。",
    ),
    (
        r"there is no message; choose a file, or paste a message with its header",
        "没有邮件；请选择文件，或粘贴带邮件头的邮件。",
    ),
    (r"at most (\d+) lines can be sent at one time", "一次最多发送 {0} 行。"),
    (r'there is no occasion for "(.*)"; .*', "没有能引出“{0}”的情形；完整列表见 /speak/codes。"),
    # Logins and other sites
    (
        r"too many wrong passwords came from there; try again in an hour",
        "该处输错密码的次数过多；请一小时后重试。",
    ),
    (
        r"no operator has this name and password; an account becomes one by: (.*)",
        "没有使用此用户名和密码的管理员；把账户设为管理员：{0}。",
    ),
    (r"this login sees its inboxes and nothing else", "此登录只能查看自己的收件箱。"),
    (r"this console is asked through its reverse proxy only", "本控制台只能经由反向代理访问。"),
    (
        r'this console is not known as "(.*)"; .*',
        "本控制台没有“{0}”这个名称；请用 127.0.0.1 或 localhost 打开，或把名称写入 [console] 的 hosts。",
    ),
    (r"a page of another site may .*", "其他网站的页面不能更改这里的内容，也不能读取。"),
    (r'the origin "(.*)" is another one than this console\'s', "来源“{0}”与本控制台不同。"),
    (r"choose messages, or write a filter; all means every message", "请选择邮件，或写筛选条件；all 表示全部邮件。"),
    (r"choose at most (\d+) messages, or write a filter", "最多选择 {0} 封邮件，或者写筛选条件。"),
    (
        r"there is no message (.*): it was never here, or its history is no longer kept",
        "没有邮件 {0}：从未到过这里，或者它的经过已不再保留。",
    ),
    (r"there is no session (.*) any more; .*", "会话 {0} 已不在：早已结束，或属于另一个守护进程。"),
    (r'"(.*)" is no session; .*', "“{0}”不是会话；会话的名称形如 in0.17。"),
    (r'"(.*)" names no client; .*', "“{0}”不是客户端；请照邮件中的来源写，例如 mx 192.0.2.1:40000。"),
    (
        r"(.*) is missing, and accounts were made in it; .* remove (\S+) beside it .*",
        "账户文件 {0} 不见了；请放回原处，或从备份恢复。若要从没有账户开始，请删除同一目录下的 {1}，再重启守护进程。",
    ),
    (
        r"(.*) is empty, and accounts were made in it; .* remove (\S+) beside it .*",
        "账户文件 {0} 是空的；请从备份放回原来的文件。若要从没有账户开始，请删除同一目录下的 {1}，再重启守护进程。",
    ),
    (
        r"(.*) is missing, and operators and tokens were made in it; .* remove (\S+) beside it .*",
        (
            "控制台登录文件 {0} 不见了；请放回原处，或从备份恢复。"
            "若要从没有操作员和令牌开始，请删除同一目录下的 {1}，再重启守护进程。"
        ),
    ),
    (
        r"(.*) is empty, and operators and tokens were made in it; .* remove (\S+) beside it .*",
        (
            "控制台登录文件 {0} 是空的；请从备份放回原来的文件。"
            "若要从没有操作员和令牌开始，请删除同一目录下的 {1}，再重启守护进程。"
        ),
    ),
    (r"(.*) is not a file of accounts; put the right one back", "{0} 不是账户文件；请放回正确的文件。"),
    # Requests
    (
        r"the form is too old or is not from this console; load its page again",
        "表单已过期，或不是本控制台的；请重新打开页面。",
    ),
    (
        r"accounts: every name with every password may log in here, .*",
        '此处任何用户名和密码都可登录，因此不保存账户；需要账户时，请在配置中写 accounts = "file"。',
    ),
    (
        r'accounts: the accounts of this configuration are not here, but with "(.*)"; .*',
        "账户不在此处，而在“{0}”；请到那里更改。",
    ),
    (r"there is no page|there is no such page", "没有这个页面。"),
    (r"Method Not Allowed", "此页面不接受这种请求方法。"),
    (r"send a form, or a JSON object as .*", "请提交表单，或以 application/json 发送 JSON 对象。"),
    (r"a form or a JSON object is expected, and the body is empty", "应提交表单或 JSON 对象，但请求体为空。"),
    (r"there are more than ([\d,]+) values", "值超过 {0} 个。"),
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
        if (chinese := chinese_file_fault(sentence)) != sentence:
            return f"{chinese}。", "zh"
    return sentence, "en"
