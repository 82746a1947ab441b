"""Chinese texts of the advice about a configuration (``service.config.advice``).

Each row has the pattern of one English sentence and its Chinese form, in which ``{0}`` is the first group.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.service.config.file_faults_zh import chinese_file_fault

__all__ = ["chinese_advice"]

_ROWS: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        # Settings
        (
            r"listener (\S+): max_recipients is below the 100 .*",
            "监听器 {0}：max_recipients 低于 RFC 5321 §4.5.3.1.8 要求的 100。",
        ),
        (
            r"listener (\S+): command_timeout is below the 5 minutes .*",
            "监听器 {0}：command_timeout 少于 RFC 5321 §4.5.3.2.7 要求的 5 分钟。",
        ),
        (
            r"listener (\S+): greeting_pause has no effect .*",
            "监听器 {0}：greeting_pause 对 submission 和从第一个字节起的 TLS 不起作用。",
        ),
        (
            r"listener (\S+): proxy_networks, xclient_networks or xforward_networks has the whole Internet: .*",
            "监听器 {0}：proxy_networks、xclient_networks 或 xforward_networks 包含整个互联网，谁都可以冒充任何地址。",
        ),
        (
            r'listener (\S+): strictness = "lenient" accepts malformed mail .*',
            (
                '监听器 {0}：strictness = "lenient" 会从任何主机接收不合规则的邮件，其他服务器可能拒收；'
                "面向互联网的 mx 监听器宜从严。"
            ),
        ),
        (
            r'listener (\S+): auth = "off" and \[relay\] trusted_networks is empty, .*',
            '监听器 {0}：auth = "off"，而 [relay] trusted_networks 为空，所以没有主机可以提交邮件。',
        ),
        (
            r"\[relay\] trusted_networks contains the whole Internet: .*",
            "[relay] trusted_networks 包含整个互联网：本机成了开放的中转站。",
        ),
        (r"\[relay\] max_hops is below the 100 .*", "[relay] max_hops 低于 RFC 5321 §6.3 要求的 100。"),
        (r"There is no \[\[domain\]\]: .*", "没有 [[domain]]：其他服务器只能写信给 postmaster。"),
        (
            r"domain (\S+): maildir_owner works only .*",
            "域 {0}：只有守护进程以 root 或该用户的身份运行，maildir_owner 才起作用。",
        ),
        (
            r'hostname is "(.*)", which means nothing to other hosts; .*',
            "hostname 为“{0}”，对其他主机没有意义；请写完整的主机名。",
        ),
        # Certificates
        (r"certificate (.*): it ends in (-?\d+) days; renew it\.", "证书 {0} 将在 {1} 天后过期；请更新。"),
        (r"certificate (.*): it has expired; renew it\.", "证书 {0} 已过期；请更新。"),
        (r"certificate (.*): it is not valid yet; .*", "证书 {0} 尚未生效；请检查本机的时钟。"),
        (
            r"certificate (.*): the file holds this one certificate without the intermediate .*",
            (
                "证书 {0}：文件中只有这一张证书，没有签发它的中间证书，多数手机和许多服务器会拒绝；"
                "请指定含整条证书链的文件（fullchain.pem）。"
            ),
        ),
        (
            r"accounts: (.*) is (?:missing|empty), and accounts were made in it; .* remove (\S+) beside it .*",
            (
                "账户文件 {0} 不见了或是空的，放回之前无法登录；请放回原处，或从备份恢复。"
                "若要从没有账户开始，请删除同一目录下的 {1}，再重启守护进程。"
            ),
        ),
        (
            r"console: (.*) is (?:missing|empty), and operators and tokens were made .* remove (\S+) beside it .*",
            (
                "控制台登录文件 {0} 不见了或是空的，放回之前无人能登录控制台；请放回原处，或从备份恢复。"
                "若要从没有操作员和令牌开始，请删除同一目录下的 {1}，再重启守护进程。"
            ),
        ),
        (
            r"certificate (.*): the file holds this one certificate, and its issuer \((.*)\) is not among .*",
            (
                "证书 {0}：文件中只有这一张证书，而签发者（{1}）不在本系统信任的根证书之列。"
                "若是自己的根证书，每个客户端都须信任它；若是中间证书，请指定含整条证书链的文件（fullchain.pem）。"
            ),
        ),
        (
            r"certificate (.*): the certificates in the file are not a chain; .*",
            "证书 {0}：文件中的证书不成链；请把服务器自己的证书放在最前，其后依次是签发前一张的证书。",
        ),
        (r"certificate (.*): it has no subject alternative name, .*", "证书 {0} 没有 subjectAltName，客户端会拒绝。"),
        (
            r"certificate (.*): every user of this machine may read the key (.*); take .*",
            "证书 {0}：本机的任何用户都可以读取私钥 {1}；请取消这一权限（chmod o-r）。",
        ),
        (r"certificate (.*); as it is, the daemon would not start\.", "证书 {0}；照此，守护进程不能启动。"),
        (
            r"certificate (.*); as it is, the daemon would not start as this user\.",
            "证书 {0}；照此，守护进程不能以此用户启动。",
        ),
        (
            r"No certificate is for the host name (\S+); .*",
            "没有给主机名 {0} 的证书；验证证书的客户端会拒绝。",
        ),
        # Listeners and routes
        (
            r"listener (\S+): (\S+) is open to other hosts without TLS, .*",
            "监听器 {0}：{1} 向其他主机开放而没有 TLS，邮件会以明文经过网络。",
        ),
        (
            r"listener (\S+): the directory (.*) does not exist; create it first\.",
            "监听器 {0}：目录 {1} 不存在；请先创建。",
        ),
        (
            r"listener (\S+): you \(uid (\d+)\) may not open port (\d+); .*",
            (
                "监听器 {0}：当前用户（uid {1}）不可打开端口 {2}；请以 root 启动守护进程并设置 user，"
                "或授予 CAP_NET_BIND_SERVICE，或由 systemd 打开端口。"
            ),
        ),
        (r"listener (\S+): (\S+) is not an address of this machine\.", "监听器 {0}：{1} 不是本机的地址。"),
        (
            r"route (\S+): (\w+) (.*) cannot be read by you; .*",
            "路由 {0}：当前用户不能读取 {1} {2}；守护进程的用户须能读取。",
        ),
        (r"route (\S+): the environment variable (\S+) is not set here\.", "路由 {0}：此处没有设置环境变量 {1}。"),
        (
            r"route (\S+): every user of this machine can read (.*); chmod o-r it\.",
            "路由 {0}：本机的任何用户都可以读取 {1}；请执行 chmod o-r。",
        ),
        # Directories and modules
        (
            r"There is no data_dir: mail is kept in (.*), which .*",
            "没有写 data_dir：邮件存放在 {0}，该位置取决于启动守护进程的用户。",
        ),
        (
            r"domain (\S+): the Maildir is a relative path: it is (.*) here, and elsewhere .*",
            "域 {0} 的 Maildir 是相对路径：此处为 {1}，从别处启动守护进程则在别处。",
        ),
        (r"domain (\S+): the Maildir: (.*) is not a directory\.", "域 {0} 的 Maildir：{1} 不是目录。"),
        (
            r"domain (\S+): the Maildir: (.*) cannot be written by you \(uid (\d+)\); .*",
            "域 {0} 的 Maildir：当前用户（uid {2}）不能写入 {1}；守护进程的用户须能写入。",
        ),
        (
            r"(\S+) is a relative path: it is (.*) here, and elsewhere .*",
            "{0} 是相对路径：此处为 {1}，从别处启动守护进程则在别处。",
        ),
        (r"(\w+): (.*) is not a directory\.", "{0}：{1} 不是目录。"),
        (
            r"(\w+): (.*) cannot be written by you \(uid (\d+)\); .*",
            "{0}：当前用户（uid {2}）不能写入 {1}；守护进程的用户须能写入。",
        ),
        (
            r"The disk of (.*) has (.*) free, which is less than min_free: .*",
            "{0} 所在的磁盘剩余 {1}，少于 min_free：守护进程会以 452 应答所有邮件。",
        ),
        (
            r'(.*): there is no module "(.*)"; .*',
            "{0}：没有模块“{1}”；请更正名称，或在启动 posthouse 之处把它的目录加入 PYTHONPATH。",
        ),
        (
            r"accounts: there is no socket (.*), so nobody can log in; .*",
            "accounts：没有套接字 {0}，因此任何人都不能登录；请启动 Dovecot，或更正路径。",
        ),
        (
            r"DKIM: (.*); as it is, mail of (\S+) is signed .*",
            "DKIM：{0}；照此，{1} 的邮件只用其余的密钥签名（若有）。",
        ),
    )
)


def chinese_advice(sentence: str) -> str:
    """The advice in Chinese; a sentence that no row matches is given back unchanged."""
    for pattern, text in _ROWS:
        if (found := pattern.fullmatch(sentence)) is not None:
            return text.format(*map(chinese_file_fault, found.groups()))
    return sentence
