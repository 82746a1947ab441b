"""``posthouse dkim``: keys made, shown, rotated, and compared with a zone."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Answer, Status
from posthouse.service.mailauth.key_store import KeyStore
from posthouse.service.operations.dkim_keys import _judged

CONFIG = 'data_dir = "{0}/data"\n[[listener]]\nbind = "127.0.0.1:0"\nkind = "submission"\n'


class Keys:
    """The command with a configuration."""

    def __init__(self, ran: Any, root: Path) -> None:
        self.ran, self.root = ran, root
        self.config = root / "posthouse.toml"
        self.config.write_text(CONFIG.format(root))
        self.store = KeyStore(root / "data" / "dkim")

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        done = self.ran("dkim", *arguments, "--config", str(self.config))
        assert done.code == code, done.err
        return done

    def zone(self, names: dict[str, Any]) -> str:
        path = self.root / "zone.json"
        path.write_text(json.dumps(names))
        return str(path)


@pytest.fixture
def keys(ran: Any, tmp_path: Path) -> Keys:
    return Keys(ran, tmp_path)


def test_a_key_from_its_making_to_its_rotation(keys: Keys) -> None:
    made = keys("keygen", "example.org", "--algorithm", "ed25519").out
    (first,) = keys.store.keys("example.org")
    assert f"the key {first.selector} of example.org was made; publish this record:" in made
    assert f'{first.record_name}. IN TXT "{first.record}"' in made
    (shown,) = json.loads(keys("show", "--json").out)
    assert (shown["state"], shown["until"], shown["record"]) == ("signing", None, first.record)

    rotated = keys("rotate", "example.org").out
    second = next(each for each in keys.store.keys("example.org") if each != first)
    assert f"the key {second.selector} of example.org signs from " in rotated
    assert [each["state"] for each in json.loads(keys("show", "example.org", "--json").out)] == ["signing", "next"]
    assert len(keys("show", "--records").out.splitlines()) == 2
    assert "does not sign yet" in keys("rotate", "example.org", code=65).err


def test_both_algorithms_sign_and_rotate_together(keys: Keys) -> None:
    keys("keygen", "example.org", "--algorithm", "both")
    assert {each.algorithm for each in keys.store.keys("example.org")} == {"rsa", "ed25519"}
    found = json.loads(keys("rotate", "example.org", "--days", "0", "--json").out)
    assert [each["state"] for each in found["keys"]].count("signing") == 2
    assert found["removed"] == []
    assert "already" in keys("keygen", "example.org", code=65).err


def test_the_private_half_is_shown_nowhere(keys: Keys) -> None:
    out = keys("keygen", "example.org", "--algorithm", "ed25519", "--json").out
    (made,) = keys.store.keys("example.org")
    secret = "".join(Path(made.path).read_text().splitlines()[1:-1])
    assert secret not in out + keys("show", "--json").out
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o600


def test_the_check_compares_with_a_zone(keys: Keys) -> None:
    keys("keygen", "example.org", "--algorithm", "ed25519")
    (made,) = keys.store.keys("example.org")
    missing = keys("check", "--zone", keys.zone({"example.org": {"A": ["192.0.2.1"]}}), code=69)
    assert f"Publish the TXT record {made.record_name}: {made.record}" in missing.out
    there = {made.record_name: {"TXT": [made.record.replace("; ", ";")]}}
    (found,) = json.loads(keys("check", "example.org", "--zone", keys.zone(there), "--json").out)
    assert (found["published"], found["usable"], found["advice"]) == ("yes", True, [])
    other = {made.record_name: {"TXT": ["v=DKIM1; k=ed25519; p=AAAA"]}}
    assert "has another key" in keys("check", "--zone", keys.zone(other), code=69).out
    silent = {made.record_name: "SERVFAIL"}
    assert "gave no answer" in keys("check", "--zone", keys.zone(silent)).out


def test_a_key_that_others_may_read_is_told(keys: Keys) -> None:
    keys("keygen", "example.org", "--algorithm", "ed25519")
    (made,) = keys.store.keys("example.org")
    os.chmod(made.path, 0o640)
    (exposed,) = keys.store.keys("example.org")
    found = _judged(exposed, (exposed,), made.made, Answer(Status.OK, (made.record.encode(),)))
    assert found.advice == [f"Other users of this machine may read {made.path}; run: chmod 600 {made.path}"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["keygen", "no domain"], 65, "is no domain name"),
        (["keygen", "localhost"], 65, '"localhost" is no domain name with two labels or more; write one such as'),
        (["show", "example.org"], 65, "make one with: posthouse dkim keygen example.org"),
        (["rotate", "example.org"], 65, "there is no DKIM key of example.org"),
        (["keygen", "x.test", "--algorithm", "both", "--selector", "a"], 65, "two keys cannot have one selector"),
        (["check", "--zone", "/nowhere/zone.json"], 66, "cannot be read"),
    ],
)
def test_what_is_refused(keys: Keys, arguments: list[str], code: int, said: str) -> None:
    assert said in keys(*arguments, code=code).err


def test_without_keys(keys: Keys) -> None:
    assert "There are no DKIM keys" in keys("show").err
    assert json.loads(keys("show", "--json").out) == []


def test_in_chinese(keys: Keys) -> None:
    assert "没有 DKIM 密钥" in keys("show", "--lang", "zh").err
    made = keys("keygen", "example.org", "--algorithm", "ed25519", "--lang", "zh").out
    (first,) = keys.store.keys("example.org")
    assert f"已生成 example.org 的密钥 {first.selector}，请发布这条记录：" in made
    assert "签名中" in keys("show", "--lang", "zh").out
    out = keys("check", "--zone", keys.zone({}), "--lang", "zh", code=69).out
    assert f"请发布 TXT 记录 {first.record_name}：{first.record}" in out
    assert "待用" not in out
