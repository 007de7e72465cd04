# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _restore_source
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"[]", b"null"])
def test_sealed_properties_that_are_none(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What decrypts need not be what we wrote: the key that encrypts is public."""
    monkeypatch.setattr(_restore_source, "_read", lambda *_args: content)

    class Backup:
        path = "/sets/one"

    backup: Any = Backup()
    with pytest.raises(BackupError, match="/sets/one") as caught:
        _restore_source._sealed_properties(backup, "key")
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
