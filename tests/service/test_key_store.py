"""The key store: what it writes, what it reads, and the states of keys over a rotation."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from posthouse.core import SettingError, StorageError
from posthouse.service.mailauth.key_store import (
    KEEP,
    LEAD,
    KeyState,
    KeyStore,
    StoredKey,
    state_of,
    unusable_keys,
    zone_text,
)

NOW = 1_795_950_000.0  # 2026-11-29
DAY = 86_400.0


def pem_of(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def stored(selector: str, algorithm: str, signs: float) -> StoredKey:
    return StoredKey("x.test", selector, algorithm, 2048, signs, signs, f"/{selector}.pem", "v=DKIM1; p=")


def test_a_key_is_private_and_its_record_is_its_public_half(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "dkim")
    made = store.generate("Example.ORG", "ed25519", NOW, signs=NOW)
    assert (made.domain, made.selector) == ("example.org", "20261129e")
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "dkim").st_mode) == 0o700
    private = serialization.load_pem_private_key(Path(made.path).read_bytes(), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    raw = private.public_key().public_bytes_raw()
    assert made.record == f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    assert store.keys("example.org") == (made,)
    assert store.domains() == ["example.org"]


def test_an_rsa_record_is_cut_into_strings_that_the_dns_carries(tmp_path: Path) -> None:
    made = KeyStore(tmp_path).generate("example.org", "rsa", NOW, signs=NOW)
    strings = zone_text(made).split('"')[1::2]
    assert "".join(strings) == made.record
    assert [len(each) <= 255 for each in strings] == [True, True]
    public = serialization.load_der_public_key(base64.b64decode(made.record.partition("p=")[2]))
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 2048


def test_a_second_key_of_the_day_has_another_selector(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    found = [store.generate("example.org", "ed25519", NOW, signs=NOW + LEAD).selector for _ in range(3)]
    assert found == ["20261129e", "20261129e2", "20261129e3"]
    with pytest.raises(SettingError, match="there is a key 20261129e of"):
        store.generate("example.org", "rsa", NOW, signs=NOW, selector="20261129e")


@pytest.mark.parametrize("selector", ["../x", "a/b", "A", "a_b", ".", "x."])
def test_what_cannot_be_a_selector_is_refused(tmp_path: Path, selector: str) -> None:
    with pytest.raises(SettingError, match="cannot be a selector"):
        KeyStore(tmp_path).generate("example.org", "ed25519", NOW, signs=NOW, selector=selector)


@pytest.mark.parametrize("domain", ["..", "../x", "a..b", "", "/etc"])
def test_what_is_no_domain_names_no_directory(tmp_path: Path, domain: str) -> None:
    store = KeyStore(tmp_path / "dkim")
    with pytest.raises(SettingError, match="is no domain name"):
        store.generate(domain, "ed25519", NOW, signs=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_copied_key_signs_from_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "example.org"
    folder.mkdir()
    (folder / "mail.pem").write_bytes(pem_of(rsa.generate_private_key(65_537, 1024)))
    os.chmod(folder / "mail.pem", 0o644)
    (key,) = KeyStore(tmp_path).keys("example.org")
    assert (key.selector, key.bits, key.signs, key.exposed) == ("mail", 1024, 0.0, True)
    assert state_of(key, (key,), NOW) == (KeyState.SIGNING, 0.0)


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"hello", "the DKIM key cannot be read"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "no RSA or Ed25519 private key"),
        (pem_of(rsa.generate_private_key(65_537, 512 * 2))[:400], "the DKIM key cannot be read"),
    ],
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, octets: bytes, said: str) -> None:
    folder = tmp_path / "example.org"
    folder.mkdir()
    (folder / "mail.pem").write_bytes(octets)
    with pytest.raises(SettingError, match=said) as caught:
        KeyStore(tmp_path).keys("example.org")
    assert str(folder / "mail.pem") in str(caught.value)


def test_a_full_disk_leaves_no_part_of_a_key_and_the_old_one_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = KeyStore(tmp_path)
    first = store.generate("example.org", "ed25519", NOW, signs=NOW)
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 1:  # the schedule is written, the key is not
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"\.pem cannot be written \(No space left on device\); make room there"):
        store.generate("example.org", "ed25519", NOW, signs=NOW + LEAD)
    monkeypatch.undo()
    assert len(calls) == 2
    assert [each.selector for each in store.keys("example.org")] == [first.selector]
    assert sorted(os.listdir(tmp_path / "example.org")) == [f"{first.selector}.pem", "schedule.json"]
    store.generate("example.org", "ed25519", NOW, signs=NOW + LEAD)
    assert len(store.keys("example.org")) == 2


def test_a_key_that_cannot_be_read_is_told_before_mail_goes_unsigned(tmp_path: Path) -> None:
    KeyStore(tmp_path).generate("example.org", "ed25519", NOW, signs=NOW)
    assert list(unusable_keys(str(tmp_path))) == []
    assert list(unusable_keys(str(tmp_path / "absent"))) == []
    path = tmp_path / "example.org" / "a.pem"
    path.write_text("no key")
    (found,) = unusable_keys(str(tmp_path))
    assert found.startswith(f"DKIM: {path}: the DKIM key cannot be read")
    assert found.endswith("mail of example.org is signed with its other keys alone, if any.")


def test_times_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.generate("example.org", "ed25519", NOW, signs=NOW)
    (tmp_path / "example.org" / "schedule.json").write_text(json.dumps({"x": 1}))
    with pytest.raises(SettingError, match="the times of the keys cannot be read"):
        store.keys("example.org")


def test_the_states_over_a_rotation() -> None:
    old, new = stored("old", "rsa", NOW), stored("new", "rsa", NOW + 10 * DAY)
    other = stored("other", "ed25519", NOW)
    keys = (old, other, new)

    def states(at: float) -> list[KeyState]:
        return [state_of(key, keys, at)[0] for key in keys]

    before = NOW + 10 * DAY - 1
    assert states(before) == [KeyState.SIGNING, KeyState.SIGNING, KeyState.NEXT]
    assert states(before + 1) == [KeyState.RETIRED, KeyState.SIGNING, KeyState.SIGNING]
    assert states(before + KEEP) == [KeyState.RETIRED, KeyState.SIGNING, KeyState.SIGNING]
    assert states(before + 1 + KEEP) == [KeyState.REMOVABLE, KeyState.SIGNING, KeyState.SIGNING]
    assert state_of(old, keys, NOW) == (KeyState.SIGNING, NOW + 10 * DAY)
    assert state_of(new, keys, NOW) == (KeyState.NEXT, NOW + 10 * DAY)


def test_exactly_one_key_of_an_algorithm_signs_at_any_time() -> None:
    keys = tuple(stored(f"s{number}", "rsa", NOW + number % 3 * DAY) for number in range(6))
    for hour in range(-1, 80):
        now = NOW + hour * 3600.0
        signing = [key.selector for key in keys if state_of(key, keys, now)[0] is KeyState.SIGNING]
        assert len(signing) == (hour >= 0)


def test_removing_a_key_forgets_its_times(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    made = store.generate("example.org", "ed25519", NOW, signs=NOW)
    before = store.stamp()
    store.remove(made)
    assert store.keys("example.org") == ()
    assert json.loads((tmp_path / "example.org" / "schedule.json").read_text()) == {}
    assert store.stamp() != before
