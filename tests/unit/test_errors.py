# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import CODES, BackupError

DESIGNED = """
    ENGINE_UNAVAILABLE CONTAINER_NOT_FOUND CONTAINER_NOT_RUNNING CONTAINER_AMBIGUOUS INVALID_DB_CONFIG
    CREDENTIALS_UNAVAILABLE CONNECTION_FAILED AUTH_FAILED DATABASE_NOT_FOUND CLIENT_NOT_FOUND CLIENT_TOO_OLD
    POOLER_REFUSED PARITY_VIOLATION PARITY_MISMATCH BACKUP_FAILED BACKUP_TIMEOUT BACKUP_LOCKED BACKUP_SUSPICIOUS
    NO_SPACE VERIFY_FAILED CHECKSUM_MISMATCH SIGNATURE_INVALID BACKUP_NOT_FOUND INVALID_BACKUP_FORMAT RESTORE_FAILED
    RESTORE_TIMEOUT RESTORE_NOT_CONFIRMED TARGET_IN_USE TARGET_EXISTS INCOMPATIBLE_TARGET BACKUP_DIR_UNUSABLE
    INSTANCE_CONFLICT UNSUPPORTED_BY_CLIENT CLIENT_UNPATCHED LOCK_CONTENTION ENCRYPTION_UNAVAILABLE INTERRUPTED
    INTERNAL_ERROR
""".split()  # noqa: SIM905
ROOT = Path(__file__).resolve().parents[2]


def test_every_designed_code_exists_and_no_other() -> None:
    assert sorted(CODES) == sorted(DESIGNED)


@pytest.mark.parametrize("code", DESIGNED)
def test_every_code_says_what_it_must(code: str) -> None:
    severity, data_risk, _retryable, hint = CODES[code]
    assert severity in {"warning", "error", "critical"}
    assert data_risk in {"none", "stale", "loss"}
    assert re.search(r"\.$", hint)


def test_every_raised_code_is_one() -> None:
    raised = set()
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        raised |= set(re.findall(r"BackupError\(\s*\"([^\"]+)\"", path.read_text(encoding="utf-8")))
    assert raised
    assert raised <= set(CODES)


def test_an_error_reads_as_code_and_sentence() -> None:
    error = BackupError("BACKUP_LOCKED", "another run works on shop")
    assert str(error) == error.msg == "BACKUP_LOCKED: another run works on shop"
    assert (error.code, error.what) == ("BACKUP_LOCKED", "another run works on shop")
    assert (error.severity, error.data_risk, error.retryable, error.hint) == CODES["BACKUP_LOCKED"]
    assert error.result == {}


def test_what_an_error_may_replace() -> None:
    known: dict[str, list[str]] = {"backups": []}
    error = BackupError("BACKUP_FAILED", "x", hint="do this", retryable=True, result=known)
    assert (error.hint, error.retryable, error.result) == ("do this", True, known)
    error.result["more"] = 1
    assert known == {"backups": []}
    assert BackupError("BACKUP_TIMEOUT", "x", retryable=False).retryable is False


def test_an_unknown_code_is_a_defect() -> None:
    with pytest.raises(KeyError):
        raise BackupError("NO_SUCH_CODE", "x")
