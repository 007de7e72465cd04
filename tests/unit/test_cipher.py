# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import (
    Encryption,
    check_encryption,
    decrypted,
    is_encrypted,
    read_encryption,
    read_identity_file,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

PUBLIC = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
needs_age = pytest.mark.skipif(not shutil.which("age"), reason="needs the program age")


def unavailable(call: Any, *args: Any) -> BackupError:
    with pytest.raises(BackupError) as caught:
        call(*args)
    assert caught.value.code == "ENCRYPTION_UNAVAILABLE"
    return caught.value


@pytest.mark.parametrize("given", [None, [], ""])
def test_nobody_to_encrypt_for(given: Any) -> None:
    assert read_encryption({"encryption_recipients": given}) is None


@pytest.mark.parametrize("recipient", [PUBLIC, f" {PUBLIC}\n", "ssh-ed25519 AAAAC3Nz", "ssh-rsa AAAAB3Nz== me@home"])
def test_public_keys(recipient: str) -> None:
    found = read_encryption({"encryption_recipients": [recipient]})
    assert found == Encryption((recipient.strip(),))


@pytest.mark.parametrize("recipient", ["", " ", None, "AGE-SECRET-KEY-1QQQQQ", "-R", "/etc/keys", "age1UPPER", f"{PUBLIC} -i x"])
def test_what_is_no_public_key_is_refused_and_not_shown(recipient: Any) -> None:
    error = unavailable(read_encryption, {"encryption_recipients": [PUBLIC, recipient]})
    assert "QQQQQ" not in error.msg


def test_a_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    assert read_identity_file({"identity_file": ""}) == read_identity_file({}) == ""
    assert str(file) in unavailable(read_identity_file, {"identity_file": str(file)}).msg
    file.write_text("AGE-SECRET-KEY-1")
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        assert "open to others" in unavailable(read_identity_file, {"identity_file": str(file)}).msg
    file.chmod(0o400)
    assert read_identity_file({"identity_file": str(file)}) == str(file)
    assert "no ordinary file" in unavailable(read_identity_file, {"identity_file": str(tmp_path)}).msg


@pytest.mark.parametrize(("wish", "code"), [
    ({"format": "tar"}, "UNSUPPORTED_BY_CLIENT"), ({"verify": "restore"}, "ENCRYPTION_UNAVAILABLE")])
def test_what_cannot_be_encrypted(wish: dict[str, str], code: str) -> None:
    given = {"backup_dir": "/b", "format": "directory", "verify": "archive", "encryption_recipients": [PUBLIC]}
    assert read_backup_options(given).format == "custom"
    assert read_backup_options({**given, "format": "plain"}).format == "plain"
    with pytest.raises(BackupError) as caught:
        read_backup_options({**given, **wish})
    assert caught.value.code == code


def test_without_the_program_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = unavailable(check_encryption, Encryption((PUBLIC,)), "")
    assert "no age program" in error.msg
    assert "Install" in error.hint


def make_key(file: Path) -> tuple[str, str]:
    subprocess.run(["age-keygen", "-o", str(file)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(file)], check=True, capture_output=True, text=True).stdout
    return public.strip(), str(file)


@needs_age
def test_a_trial_tells_what_would_not_work(tmp_path: Path) -> None:
    public, file = make_key(tmp_path / "key")
    _other, wrong = make_key(tmp_path / "other")
    check_encryption(Encryption((PUBLIC, public)), file)
    check_encryption(Encryption((), file), file)
    assert "age" in unavailable(check_encryption, Encryption(("age1notakey",)), "").msg
    assert "cannot be decrypted" in unavailable(check_encryption, Encryption((public,)), wrong).msg


@needs_age
def test_files_come_back_and_damage_is_seen(tmp_path: Path) -> None:
    public, file = make_key(tmp_path / "key")
    content = bytes(range(256)) * 2000
    sealed = tmp_path / "sealed"
    with sealed.open("wb") as out:
        Encryption((public,)).packer.pack([content[:1000], content[1000:]], out.write)
    assert is_encrypted(str(sealed))
    assert not is_encrypted(file)
    assert content[:64] not in sealed.read_bytes()
    assert b"".join(decrypted(str(sealed), file)) == content
    assert "identity_file" in unavailable(lambda: list(decrypted(str(sealed), ""))).hint
    damaged = bytearray(sealed.read_bytes())
    damaged[-1000] ^= 1
    sealed.write_bytes(bytes(damaged))
    with pytest.raises(BackupError) as caught:
        list(decrypted(str(sealed), file))
    assert caught.value.code == "VERIFY_FAILED"
