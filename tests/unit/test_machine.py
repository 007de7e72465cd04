# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgfleet.backup.plugins.module_utils import _machine

ROOT = Path(__file__).resolve().parents[2]


def test_the_collections_version_is_said_once() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == _machine.COLLECTION_VERSION


@pytest.mark.parametrize(("files", "expected"), [
    ({"/etc/machine-id": "0f3a\n"}, "0f3a"),
    ({"/etc/machine-id": "uninitialized\n", "/var/lib/dbus/machine-id": "beef\n"}, "beef"),
    ({"/etc/machine-id": "", "/var/lib/dbus/machine-id": "beef"}, "beef"),
    ({"/var/lib/dbus/machine-id": "beef"}, "beef"),
    ({}, None),
])
def test_the_machines_id(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: str | None) -> None:
    def open_them(path: str, **_how: Any) -> io.StringIO:
        if path not in files:
            raise FileNotFoundError(path)
        return io.StringIO(files[path])

    monkeypatch.setattr(builtins, "open", open_them)
    found = _machine.machine_id()
    monkeypatch.undo()
    assert found == expected


def test_the_hosts_name() -> None:
    assert _machine.hostname()
