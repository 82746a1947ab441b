"""Chinese texts of what is wrong with the file of a certificate, a key or a DKIM key: ``net.tls_context``,
``mailauth.dkim.keys`` and ``service.mailauth.key_store`` write the English ones.

A sentence has the form ``place: cause; remedy``.  Each row has the pattern of cause and remedy.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

__all__ = ["chinese_file_fault"]

_ERRORS: Final = {
    errno.ENOENT: "没有该文件或目录",
    errno.EACCES: "权限不足",
    errno.EPERM: "不允许该操作",
    errno.EISDIR: "这是目录",
    errno.ENOTDIR: "路径中有一段不是目录",
    errno.ELOOP: "符号链接成环",
    errno.ENAMETOOLONG: "文件名过长",
    errno.EIO: "输入输出错误",
    errno.ENOSPC: "磁盘已满",
    errno.EDQUOT: "超出磁盘配额",
    errno.EROFS: "文件系统只读",
    errno.EMFILE: "打开的文件过多",
    errno.ENFILE: "系统打开的文件过多",
    errno.ENXIO: "没有该设备",
    errno.ESTALE: "文件句柄已失效",
}
_BY_WORDS: Final = {os.strerror(number): text for number, text in _ERRORS.items()}
_WHAT: Final = {
    "certificate": "证书",
    "key": "私钥",
    "certificates to trust": "可信任的证书",
    "a certificate and its key": "证书及其私钥",
    "a file": "所需的内容",
}
_USER: Final = re.compile(r"user (\S+) \(uid (\d+)\)|the user with uid (\d+)|this user")
_REMEDIES: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r"write the path of a PEM file", "请写 PEM 文件的路径"),
        (r"name the key's file as well", "请同时指定私钥文件"),
        (r"see whether the two files are exchanged", "请检查两个文件是否写反"),
        (r"convert it: (.*)", "请转换：{0}"),
        (r"store it without a password, readable by the daemon alone", "请以不带密码的形式存放，且只让守护进程读取"),
        (r"use RSA of 2,048 bits or more, or P-256", "请使用 2,048 位以上的 RSA 或 P-256"),
        (
            r"put it first, and each certificate behind the one that it has issued",
            "请把它放在最前，其后依次是签发前一张的证书",
        ),
        (r"name the two files that were made together", "请指定一同生成的两个文件"),
        (
            r"let (.*) enter the folder (.*) \(chmod or setfacl; it lacks x for that user\)",
            "请让{0}可以进入目录 {1}（用 chmod 或 setfacl；该用户缺少 x 权限）",
        ),
        (r"let (.*) read it \(chgrp and chmod g\+r, or setfacl\)", "请让{0}可以读取（chgrp 和 chmod g+r，或 setfacl）"),
        (
            r"make one with posthouse dkim keygen, or with openssl genrsa 2048",
            ("请用 posthouse dkim keygen 或 openssl genrsa 2048 生成"),
        ),
        (r"see that the daemon's user may read it", "请让守护进程的用户可以读取"),
        (r"see that the daemon's user may write there", "请让守护进程的用户可以写入"),
        (r"make room there", "请在那里腾出空间"),
        (
            r"take the file away; every key beside it then signs, the newest of each algorithm first",
            "请移走该文件；此后旁边的每个密钥都用于签名，每种算法取最新的",
        ),
        (r"write a domain and a selector of letters", "请写域名和由字母组成的选择器"),
        (r"use rsa or ed25519", "请用 rsa 或 ed25519"),
    )
)
_CAUSES: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r"(?:(.*): )?the key is encrypted", "私钥已加密"),
        (r"(?:(.*): )?the certificate's key is too short", "证书的密钥过短"),
        (
            r"(?:(.*): )?this file is in DER, and the (certificate|key) is needed in PEM",
            "文件为 DER 格式，{1}须为 PEM 格式",
        ),
        (
            r"(?:(.*): )?this file holds a (certificate|key) and no (certificate|key)",
            "文件中是{1}，没有{2}",
        ),
        (r"(?:(.*): )?this file holds no (certificate|key)", "文件中没有{1}"),
        (r"(?:(.*): )?this file does not hold (.*)", "文件中没有{1}"),
        (
            r"(?:(.*): )?the certificate that belongs to the key is not the first in this file",
            "与私钥对应的证书不在文件的最前",
        ),
        (r"(?:(.*): )?the key does not belong to the certificate (.*)", "私钥与证书 {1} 不对应"),
        (r"(?:(.*): )?it cannot be read \((.*)\)", "不能读取（{1}）"),
        (
            r"(?:(.*): )?the DKIM key cannot be read: it is no RSA or Ed25519 private key in PEM, or .*",
            ("不能读取 DKIM 密钥：它不是 PEM 格式的 RSA 或 Ed25519 私钥，或密码不对"),
        ),
        (r"(?:(.*): )?the times of the keys cannot be read", "不能读取各密钥的时间"),
        (r"(.*) cannot be read \((.*)\)", "不能读取（{1}）"),
        (r"(.*) cannot be written \((.*)\)", "不能写入（{1}）"),
    )
)


def chinese_file_fault(sentence: str) -> str:
    """The sentence in Chinese, without a full stop; one that no row matches is given back unchanged."""
    cause, mark, remedy = sentence.rpartition("; ")
    if not mark:
        cause, remedy = sentence, ""
    elif not (advised := _matched(_REMEDIES, remedy)):
        # The remedy of a key may have a mark of its own: "convert it", "let … enter the folder … (chmod …; …)".
        before, _, rest = cause.rpartition("; ")
        cause, remedy = before, _matched(_REMEDIES, f"{rest}; {remedy}")
    else:
        remedy = advised
    for pattern, text in _CAUSES:
        if (found := pattern.fullmatch(cause)) is not None and (remedy or not mark):
            place, *words = found.groups()
            said = text.format(place, *(_WHAT.get(each, _BY_WORDS.get(each, each)) for each in words))
            return (f"{place}：" if place else "") + said + (f"；{remedy}" if remedy else "")
    return sentence


def _matched(rows: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    """The Chinese form of a remedy; "" if no row matches."""
    for pattern, chinese in rows:
        if (found := pattern.fullmatch(text)) is not None:
            return chinese.format(*(_USER.sub(_user, each) for each in found.groups()))
    return ""


def _user(found: re.Match[str]) -> str:
    name, uid, other = found.groups()
    return f"用户 {name}（uid {uid}）" if name else f" uid 为 {other} 的用户" if other else "当前用户"
