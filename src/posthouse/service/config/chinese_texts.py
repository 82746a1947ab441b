"""The texts of the settings in Chinese, for ``posthouse explain SETTING``; the English ones are in the model.

Data, with two functions.  A test sees that every setting has a text here.
"""

from __future__ import annotations

from typing import Final

from posthouse.service.config.inbox_zh import INBOX_TEXTS, INBOX_TYPES
from posthouse.service.config.mailauth_zh import MAILAUTH_TEXTS, MAILAUTH_TYPES

__all__ = ["TEXTS", "TYPES", "text_of", "type_of"]

_PEM_KEY: Final = "证书的私钥（PEM）；不写时，私钥在证书文件里。"

#: Setting, as ``SettingDoc.path`` has it → its text.
TEXTS: Final[dict[str, str]] = {
    "hostname": "本服务器的名称，用于问候语和邮件头中的传送记录；不写时，用机器的主机名。",
    "data_dir": "存放邮件和队列的目录。不写时为 `$XDG_DATA_HOME/posthouse`，否则为启动守护进程的用户的 `~"
    "/.local/share/posthouse`；除了试用，都应写明。",
    "maildrop": "`posthouse sendmail` 和 `spool:` 放入邮件的目录，守护进程没有运行时也可放入；不写时为 "
    "`data_dir` 下的 `maildrop`，只供守护进程的用户使用。详见 sendmail.md。",
    "user": "守护进程以 root 身份打开端口、读取私钥之后改用的用户；不写时，不改变身份。详见 operations.md。",
    "group": "与 `user` 配套的用户组；不写时，用该用户自己的组。",
    "workers": "共用端口和队列的工作进程数；0 表示每个处理器一个。",
    "listener[]": "监听器：接收邮件的地址及其条件；一个都不写时，为 127.0.0.1:1025。",
    "listener[].bind": "监听的地址；端口 0 表示任取一个空闲端口，`localhost` 即 127.0.0.1。",
    "listener[].kind": "`mx` 接收发往本机所负责的域的邮件，对可信网络则接收发往任何域的邮件；`submission` 接收"
    "来自可信网络和已登录客户端的邮件；`lmtp` 接收发往本机所负责的域的邮件，对每位收件人分别应答（RFC 2033）。",
    "listener[].tls": "加密方式：`starttls` 以明文开始，并提供 STARTTLS（RFC 3207）；`implicit` 从第一个字节起"
    "就是 TLS（RFC 8314）。",
    "listener[].tls_required": "在 STARTTLS 之前是否拒绝邮件和登录（530 5.7.0）。",
    "listener[].tls_cert": "证书（PEM）及其证书链；不写时，用第一个 `[[certificate]]`，若也没有，则在 "
    "`data_dir` 里生成自签名证书。文件改变后会重新读取。",
    "listener[].tls_key": _PEM_KEY,
    "listener[].tls_client_ca": "签发客户端证书的 CA 证书（PEM），可附其吊销列表；"
    "持有这种证书的客户端可以用 EXTERNAL 登录。",
    "listener[].tls_client_name": "客户端证书中用什么指明账户：`email` 地址（subjectAltName），没有地址时可用 "
    "`common_name`。缺少该字段的证书不能登录。",
    "listener[].auth": "用 AUTH 登录（RFC 4954）：`off` 不提供；`offered` 提供；`required` 要求登录，在此之前拒"
    "绝邮件（530 5.7.0），可信网络除外。不写时，`submission` 为 `required`，其余为 `off`；未登录的外部客户端永远不"
    "能使用 `submission`。",
    "listener[].mechanisms": "提供哪些 SASL 机制；不写时，为 SCRAM-SHA-256、PLAIN、LOGIN、OAUTHBEARER、XOAUTH2 "
    "之中账户支持的那些。会暴露密码的机制只在 TLS 之下和回环地址上提供。",
    "listener[].complete_messages": "是否为提交的邮件补上缺少的 Date、From 和 Message-ID，并去掉 Bcc（RFC 6409 §8）。"
    "发往 `submission` 监听器的、已登录账户发来的、以及可信网络发来而没有 Received 字段的邮件，都算提交的邮件。",
    "listener[].check_from": "邮件头的 From 和 Sender 是否也必须是已登录账户自己的地址（553 5.7.1），而不只检查"
    " MAIL 中的发件人。",
    "listener[].hide_client": "提交的邮件的 Received 字段里是否略去客户端的地址和名称，以及 `hide_login` 所略去的；"
    "日志和邮件经过照常记录。",
    "listener[].hide_login": "Received 字段里是否略去登录的账号和客户端证书中的名称；日志和邮件经过照常记录。",
    "listener[].strictness": "如何对待不合 SMTP 规则的邮件：`strict` 拒绝；`lenient` 在含义明确时接受，并加以说"
    "明。不写时，`mx` 对可信网络以外的客户端从严；对可信网络以及 `submission`、`lmtp`，邮件内容和地址从宽。详见 "
    "strictness.md。",
    "listener[].name": "日志中的名称；不写时，用种类作名称，有几个时加上编号。",
    "listener[].banner": "问候语（“220 …”）中主机名之后的文字。",
    "listener[].closed": "是否不接收任何邮件：每个会话都以 521 开始（RFC 7504）。",
    "listener[].vrfy": "VRFY 是否说明邮箱存在与否；关闭时应答 252。",
    "listener[].expn": "EXPN 是否列出邮件列表的成员；关闭时应答 252。",
    "listener[].proxy_networks": "这些代理的连接以 PROXY 头（第 1 或第 2 版）开始，由它指明客户端。详见 limits.md。",
    "listener[].xclient_networks": "可以用 XCLIENT 指明客户端的主机；它们可以声称任何地址和任何登录。",
    "listener[].xforward_networks": "可以用 XFORWARD 指明日志和邮件经过中所记客户端的主机。",
    "listener[].max_connections": "同时打开的会话数；再多的以 421 拒绝。",
    "listener[].max_connections_per_host": "同一个 IPv4 地址或 IPv6 /64 网络同时打开的会话数。",
    "listener[].max_connections_per_network": "同一个网络同时打开的会话数，网络的大小由下面两项设置决定；不写时，"
    "为 `max_connections_per_host` 的 5/2。",
    "listener[].network_prefix_ipv4": "IPv4 地址中表示网络的位数。",
    "listener[].network_prefix_ipv6": "IPv6 地址中表示网络的位数。",
    "listener[].max_connection_rate_per_host": "同一个 IPv4 地址或 IPv6 /64 网络在一分钟内新开的会话数；0 表示不限。",
    "listener[].max_connection_rate_per_network": "同一个网络在一分钟内新开的会话数；0 表示不限。",
    "listener[].max_messages_per_hour": "一小时内从同一个 IPv4 地址或 IPv6 /64 网络接收的邮件数；0 表示不限。",
    "listener[].max_recipients_per_hour": "一小时内从同一个 IPv4 地址或 IPv6 /64 网络接收的邮件的收件人数；0 表"
    "示不限。被拒绝的邮件的收件人不计入。",
    "listener[].max_login_messages_per_hour": "一小时内从同一个账户接收的邮件数，所有监听器合计，不论用哪个发件"
    "人地址；0 表示不限。",
    "listener[].max_login_recipients_per_hour": "一小时内从同一个账户接收的邮件的收件人数；0 表示不限。",
    "listener[].max_messages": "一个会话里的邮件数；0 表示不限。",
    "listener[].max_recipients": "一封邮件的收件人数。RFC 5321 要求至少 100。",
    "listener[].max_errors": "一个会话里，在两封被接收的邮件之间的错误数（不合法的命令，被拒绝的 MAIL、DATA 和"
    "邮件内容）；再多一个就以 421 结束会话。",
    "listener[].max_refused_recipients": "一个会话里，在两封被接收的邮件之间被拒绝的收件人数，以超出该邮件已有"
    "收件人数的部分计；再多一个就以 421 结束会话。",
    "listener[].max_idle_commands": "一个会话里，在两封被接收的邮件之间的命令数（HELO、EHLO、NOOP、RSET、VRFY、"
    "EXPN、HELP，以及不足 512 字节的 BDAT）；再多一条就以 421 结束会话。",
    "listener[].max_message_size": "可接收的最大邮件；用 SIZE 公布，并始终检查。",
    "listener[].max_header_size": "一封邮件的邮件头的最大长度；更长的以 552 5.3.4 拒绝。",
    "listener[].command_timeout": "等待下一条完整命令的时间（RFC 5321 §4.5.3.2.7 要求 5 分钟）。",
    "listener[].session_timeout": "没有接收任何邮件的会话可以持续的时间。",
    "listener[].data_timeout": "等待邮件内容的下一部分的时间。",
    "listener[].transfer_timeout": "一封邮件从第一个字节到最后一个字节可用的时间。",
    "listener[].min_data_rate": "过了 `min_data_rate_after` 之后，邮件平均每秒至少要传来的字节数；0 表示不限速度。",
    "listener[].min_data_rate_after": "每封邮件开头不计速度的时间。",
    "listener[].tls_timeout": "TLS 握手可用的时间。",
    "listener[].proxy_timeout": "等待代理的 PROXY 头的时间。",
    "listener[].greeting_pause": "发出 220 之前等待的时间；在此期间就开口的客户端不是邮件程序。对 `submission` "
    '和 `tls = "implicit"` 不起作用。最长 10 秒，因为正常的客户端会放弃；0 表示不等待。',
    "listener[].fault_addresses": "`tempfail+3@…` 之类的收件人是否按其名称出错，用来测试向这里发信的程序；只用于"
    "邮件全部留在本机时（[[domain]] “*”）。详见 testing.md。",
    "certificate[]": "供带 TLS 的监听器使用的证书；客户端请求其中的名称时，就得到这个证书（SNI）。",
    "certificate[].cert": "证书（PEM）及其证书链。",
    "certificate[].key": _PEM_KEY,
    "accounts": "谁可以登录：“file”（`data_dir` 里的文件，见 `posthouse user`）、“dovecot:/path/of/auth-socket”、"
    "“python:module:object”，或 “any”：任何名称配任何密码都可以，只用于邮件全部留在本机时（[[domain]] “*”）；"
    "写成 “any:/路径” 时，该文件中的名称（每行一个，格式为 `name:password`）必须用那里的密码登录，也可使用 SCRAM。",
    "relay": "邮件如何中转和重试。",
    "relay.trusted_networks": "可以向任何域发送邮件的网络；不写时没有。",
    "relay.retry_first": "第二次尝试之前的等待时间；以后每次加倍。",
    "relay.retry_max": "两次尝试之间的最长等待时间；结果不明之后为它的 6 倍。",
    "relay.give_up_after": "邮件多久仍未投递即算失败（RFC 5321 §4.5.4.1：至少 4 到 5 天）。",
    "relay.warn_after": "邮件多久仍未投递时，在下一次尝试之后通知发件人，只通知一次。发件人可以谢绝（RFC 3461 "
    "NOTIFY）。",
    "relay.concurrency": "同时进行的尝试数。另外最多还有两倍于此的尝试可以等待 2 秒仍未应答的主机，因此要允许三"
    "倍数目的套接字。",
    "relay.concurrency_per_destination": "对同一个目的地同时进行的尝试数。",
    "relay.max_hops": "有多少个 Received 字段的邮件算作循环（554 5.4.6）。RFC 5321 §6.3 要求至少 100。",
    "relay.max_passes": "有多少个本机所加的 Received 字段的邮件算作循环（554 5.4.6）。由于转发地址和邮件列表，"
    "一封邮件可以几次经过同一台主机。",
    "relay.source": "发送时使用的本机 IP 地址；不写时，由系统选择。",
    "domain[]": "由本机负责的域：发往它的邮件在这里投递。",
    "domain[].name": "域名，“*” 表示所有的域。",
    "domain[].deliver": "该域的邮件投递到哪里：“maildir:PATH”（路径中可用 `{domain}` 和 `{local}`）、“mailbox”"
    "（本地邮箱）、“lmtp://host:port” 或 “lmtp:/path/of/socket”、“smtp://host:port”、“discard”（丢弃）、“"
    "python:module:object”（你自己的函数，见 operations.md）。",
    "domain[].maildir_line_ends": "Maildir 中的换行：`lf`，读取 Maildir 的程序都这样期待；或 `crlf`，邮件逐字节"
    "原样保存。",
    "domain[].maildir_mode": "Maildir 中文件的权限；能读文件的人也能进入目录。只对新的文件和目录起作用。",
    "domain[].maildir_owner": "Maildir 中新文件和新目录的属主，写作 “user” 或 “user:group”；守护进程须以 root "
    "或该用户的身份运行。不写时，为守护进程自己的用户。",
    "domain[].mailboxes": "存在的邮箱（地址中 @ 之前的部分），或 “any”。不写时，只有别名、邮件列表和已迁走的邮"
    '箱；`deliver = "discard"` 时为任何邮箱。`postmaster` 始终存在。',
    "domain[].aliases": '别名：`info = ["bob", "ann@example.net"]`。发件人不变。',
    "domain[].lists.NAME": "邮件列表，以地址中 @ 之前的部分为名；列表的负责人成为发件人，EXPN 可以列出成员。",
    "domain[].lists.NAME.members": "成员的地址；没有 @ 的是本域的邮箱。",
    "domain[].lists.NAME.owner": "列表所转发的邮件的发件人（RFC 5321 §3.9.2）；不写时，为 postmaster。",
    "domain[].moved": '已迁走的邮箱及其新地址：`ann = "ann@example.net"`。',
    "domain[].moved_action": "如何处理发往已迁走的邮箱的邮件：`forward` 转发（251），`tell` 告知新地址并拒绝（551）。",
    "domain[].quota": '一个邮箱最多可存的大小，用于 `deliver = "mailbox"`；0 表示不限。',
    "domain[].quota_action": "如何处理发往已满的邮箱的邮件：`refuse` 拒绝（552 5.2.2），`defer` 请对方稍后重试"
    "（452 4.2.2）。",
    "domain[].subaddress": "标签之前的字符：设为 `+` 时，发给 `bob+news` 的邮件投递给 bob，收件人保留完整的名称。"
    "“” 表示没有标签。名称本身就含有这个字符的邮箱或别名优先。",
    "domain[].paused": "暂时不接收邮件的邮箱；对方稍后会重试（450 4.2.1）。",
    "route[]": "发往其他服务器的域时走的路由。",
    "route[].to": "域名，“*.域名” 表示其下的所有域，“*” 表示所有的域。",
    "route[].via": "“mx”（DNS 中的邮件交换主机），或一台主机：“smtp://host:port”、“smtps://host”（从第一个字节"
    "起就是 TLS，端口 465）、“smtp+starttls://host”（端口 587）、“lmtp://host:port” 或 “lmtp:/path/of/socket”。",
    "route[].tls": "到下一跳的加密：`off` 不加密；`opportunistic` 对方提供时加密，失败则用明文；`require` 没有 "
    "TLS 就不投递；`verify` 还要求证书证明对方的名称。不写时，有 `user` 以及用 `smtps://`、`smtp+starttls://` 时为 "
    "`verify`，其余为 `opportunistic`；`lmtp` 为 `off`。",
    "route[].ca": "`verify` 时代替系统证书而信任的证书（PEM 文件），可附其吊销列表。",
    "route[].tls_cert": "对方要求证书时出示的证书（PEM）；不写时不出示。",
    "route[].tls_key": _PEM_KEY,
    "route[].user": "登录对方主机（smarthost）所用的名称。",
    "route[].password_file": "第一行写有密码的文件；每个新会话都会重新读取。",
    "route[].password_env": "或者，存有密码的环境变量。",
    "console": "网页控制台；写了这个表，或者没有配置文件时，它就运行。",
    "webhook[]": "控制台用 HTTP POST 通知的程序：邮箱里的新邮件，以及投递的结果。",
    "webhook[].url": "发往何处；`https://` 或 `http://`。",
    "webhook[].secret_file": "存放密钥的文件（第一行），用来给请求签名；不写则不签名。",
    "webhook[].secret_env": "或者存放密钥的环境变量。",
    "webhook[].events": "通知哪些事件：`message`（邮箱里有新邮件）；以及每次尝试中每位收件人的结果："
    "`delivered`（已投递）、`deferred`（暂缓）、`failed`（失败）、`expired`（过期放弃）、`ambiguous`（结果不明）、"
    "`held`（扣留）、`dropped`（由用户丢弃）。`*` 表示全部。",
    "webhook[].recipients": '只通知发往这些地址的邮件，例如 "*@example.org"；不写则通知全部。',
    "console.traces": "是否为每封已结束的邮件生成一条 OpenTelemetry 链路，按环境变量 `OTEL_…` 发送；"
    '需要 `pip install "posthouse[traces]"`。',
    "console.enabled": "控制台是否运行；不写时运行。",
    "console.bind": "控制台监听的地址。监听本机回环地址时，对本机用户开放；其他地址必须有 TLS 和登录。",
    "console.hosts": "除回环地址以外，浏览器可以用来访问控制台的名字和地址；用其他名字访问一律不应答，"
    "因为背后可能是别的网站的页面。",
    "console.tls_cert": "证书（PEM）及其证书链；不写则没有 TLS。",
    "console.tls_key": "证书的私钥（PEM）；不写则私钥在证书文件里。",
    "console.login": "`required`：只有带 operator 标志的账户和 API 令牌可以进入；`auto`：也是如此，"
    "但监听回环地址、又没有写 `hosts` 和 `proxies` 时不需要登录。",
    "console.session": "一次登录的有效时间。",
    "console.base_path": "反向代理后面所有路径的前缀；不带前缀的请求也能理解。",
    "console.proxies": "可以相信其 `X-Forwarded-For`、`-Proto` 和 `-Host` 的反向代理；不写则没有。",
    "spool": "队列和本地邮箱的持久存储。",
    "spool.url": "“sqlite”：`data_dir` 里的数据库。",
    "spool.min_free": "磁盘上必须留出的空间；不足时，用 452 4.3.1 请对方稍后重试。",
    "spool.history": "已处理完的邮件的经过保留多久，从收到邮件时算起。",
    "spool.history_size": "所有邮件经过大约可占的空间；超出时，提前删除最早处理完的。",
    "log": "写往标准错误的事件日志。",
    "log.format": "文本行，或每行一个 JSON 对象。",
    "dns": "DNS 查询。",
    "dns.nameservers": "要查询的服务器，写作 `address` 或 `address:port`；不写时，用系统的设置。",
    "dns.timeout": "每次查询等待应答的时间。",
    "dns.tries": "服务器没有应答时查询的次数。",
    **INBOX_TEXTS,
    **MAILAUTH_TEXTS,
}

#: How a value is written → the same in Chinese; what is a list of words stays as it is.
TYPES: Final[dict[str, str]] = {
    "IP address": "IP 地址",
    "accounts": "账户的来源",
    "address and port": "地址和端口",
    "domain name": "域名",
    'domain name or "*"': "域名或 “*”",
    "duration": "时长",
    "list of SASL mechanisms": "SASL 机制的列表",
    "list of addresses": "地址的列表",
    "list of events": "事件的列表",
    "list of local parts": "邮箱名的列表",
    'list of local parts, or "any"': "邮箱名的列表，或 “any”",
    "web address": "网址",
    "list of host names": "主机名的列表",
    "list of mailboxes": "邮箱的列表",
    "list of networks": "网络的列表",
    "mailbox": "邮箱",
    "mode in octal digits": "八进制的权限",
    "name of a user or group": "用户或用户组的名称",
    "one character": "一个字符",
    "path": "路径",
    "pattern of domains": "域名的模式",
    "size": "大小",
    "spool": "存储方式",
    "table": "表",
    "table: local part = list of mailboxes": "表：邮箱名 = 邮箱的列表",
    "table: local part = mailbox": "表：邮箱名 = 邮箱",
    "tables": "若干个表",
    "prefix of paths": "路径前缀",
    "text": "文字",
    "true or false": "true 或 false",
    "user, or user:group": "user，或 user:group",
    "way to deliver": "投递方式",
    "way to send": "发信方式",
    "whole number": "整数",
    **INBOX_TYPES,
    **MAILAUTH_TYPES,
}


def text_of(path: str, english: str) -> str:
    """The text of a setting in Chinese; ``english`` if there is none."""
    return TEXTS.get(path, english)


def type_of(english: str) -> str:
    """How a value is written, in Chinese; a choice of words in quotes stays as it is, but for the "or"."""
    return TYPES.get(english, english.replace('" or "', '" 或 "').replace('", "', '"、"'))
