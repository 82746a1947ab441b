"""What is wrong with the files of certificates and keys, in Chinese: each fault is made with a real file."""

from __future__ import annotations

import datetime
import errno
import os
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from posthouse.core import SettingError
from posthouse.mailauth.dkim import DkimKey
from posthouse.net.tls_context import client_context, load_pair
from posthouse.service.config.advice_zh import chinese_advice
from posthouse.service.config.file_faults_zh import chinese_file_fault
from posthouse.service.mailauth.key_store import unusable_keys

ENGLISH = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")
#: Names and commands, which stay.
NAMES = re.compile(r"openssl [a-z0-9 …-]+|posthouse dkim keygen|RSA|Ed25519|P-256|chmod|chgrp|setfacl")


def pair(folder: Path, name: str) -> None:
    """The files of a certificate and its key; the key with a password too, and the certificate in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.here.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = built.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=90)).sign(key, hashes.SHA256())
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.der").write_bytes(made.public_bytes(serialization.Encoding.DER))
    (folder / f"{name}.key").write_bytes(key.private_bytes(*plain, serialization.NoEncryption()))
    (folder / f"{name}.locked").write_bytes(key.private_bytes(*plain, serialization.BestAvailableEncryption(b"x")))


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("empty", "a.key", "文件中没有证书；请写 PEM 文件的路径"),
        ("a.crt", "", "文件中没有私钥；请同时指定私钥文件"),
        ("a.key", "a.crt", "文件中是私钥，没有证书；请检查两个文件是否写反"),
        ("a.der", "a.key", "文件为 DER 格式，证书须为 PEM 格式；请转换：openssl x509 -inform der -in … -out …"),
        ("a.crt", "a.locked", "私钥已加密；请以不带密码的形式存放，且只让守护进程读取"),
        ("a.crt", "b.key", "请指定一同生成的两个文件"),
        ("none", "a.key", "不能读取（没有该文件或目录）；请写 PEM 文件的路径"),
        ("a.crt", "folder", "；请写 PEM 文件的路径"),
    ],
)
def test_a_fault_of_a_pair_is_chinese_to_its_end(tmp_path: Path, certificate: str, key: str, words: str) -> None:
    pair(tmp_path, "a")
    pair(tmp_path, "b")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingError) as caught:
        load_pair(ssl.create_default_context(), str(tmp_path / certificate), str(tmp_path / key) if key else "")
    told = chinese_file_fault(str(caught.value))
    assert told.startswith(f"{caught.value.where}：")
    assert words in told
    assert not ENGLISH.search(NAMES.sub("", told.replace(str(tmp_path), "")))
    whole = chinese_advice(f"certificate {caught.value}; as it is, the daemon would not start.")
    assert whole == f"证书 {told}；照此，守护进程不能启动。"


def test_a_fault_of_trusted_certificates_is_chinese(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nothing")
    with pytest.raises(SettingError) as caught:
        client_context(ca=str(tmp_path / "ca"))
    assert chinese_file_fault(str(caught.value)).endswith("ca：文件中没有可信任的证书；请写 PEM 文件的路径")


def test_who_may_not_read_is_said_in_chinese() -> None:
    place, denied = "/etc/x/a.key", os.strerror(errno.EACCES)
    for remedy, words in (
        (
            "let user posthouse (uid 995) enter the folder /etc/x (chmod or setfacl; it lacks x for that user)",
            "请让用户 posthouse（uid 995）可以进入目录 /etc/x（用 chmod 或 setfacl；该用户缺少 x 权限）",
        ),
        (
            "let this user read it (chgrp and chmod g+r, or setfacl)",
            "请让当前用户可以读取（chgrp 和 chmod g+r，或 setfacl）",
        ),
    ):
        told = chinese_file_fault(f"{place}: it cannot be read ({denied}); {remedy}")
        assert told == f"{place}：不能读取（权限不足）；{words}"


def test_a_fault_of_a_dkim_key_is_chinese_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "x.test"
    folder.mkdir()
    (folder / "s1.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (told,) = unusable_keys(str(tmp_path))
    chinese = chinese_advice(told)
    assert "不能读取 DKIM 密钥：它不是 PEM 格式的 RSA 或 Ed25519 私钥，或密码不对" in chinese
    assert chinese.endswith("；照此，x.test 的邮件只用其余的密钥签名（若有）。")
    assert not ENGLISH.search(NAMES.sub("", chinese.replace(str(tmp_path), "")))
    with pytest.raises(SettingError) as caught:
        DkimKey.from_pem("x.test", "s1", "nothing")
    assert "请用 posthouse dkim keygen 或 openssl genrsa 2048 生成" in chinese_file_fault(str(caught.value))


def test_another_sentence_is_given_back() -> None:
    for other in ("", "192.0.2.1", "a; b", "it is well; write the path of a PEM file", "the disk is full"):
        assert chinese_file_fault(other) == other
