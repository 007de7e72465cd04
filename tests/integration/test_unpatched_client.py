# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client below the security releases: told once in a run, and refused where that is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree

TOOL = """#!/bin/sh
[ "$*" = --version ] && {{ echo "{tool} (PostgreSQL) {version}"; exit; }}
echo {tool} >>"{trail}"
exec "{real}" "$@"
"""


class OldClient:
    """The real tools under an older number; ``trail`` has the name of each that was run for more than its version."""

    def __init__(self, folder: Path, local: Local, version: str) -> None:
        self.trail = folder / "trail"
        folder.mkdir()
        for tool in ("pg_dump", "pg_restore", "psql"):
            script = folder / tool
            script.write_text(TOOL.format(
                tool=tool, version=version, trail=self.trail, real=local.server.bin_dir / tool), encoding="utf-8")
            script.chmod(0o755)
        self.env = {"PATH": os.pathsep.join((str(folder), "/usr/bin", "/bin"))}

    def ran(self) -> set[str]:
        return set(self.trail.read_text(encoding="utf-8").split())


@pytest.fixture
def old(tmp_path: Path, local: Local) -> OldClient:
    return OldClient(tmp_path / "old", local, "18.3")


def told(result: dict[str, Any]) -> list[str]:
    assert str(result["warnings"]).count("CLIENT_UNPATCHED") == 1
    return [line for line in result["log"] if line.startswith("WARNING: CLIENT_UNPATCHED: ")]


def test_a_backup_and_a_restore_say_it_once(local: Local, database: str, old: OldClient) -> None:
    made = local.backup(database=database, env=old.env).succeeded()
    [warning] = told(made)
    assert "CVE-2026-116314" in warning
    assert "CVE-2026-19385" in warning
    assert made["backups"][0]["warnings"] == [], "it is about the client, not about the backup"
    restored = local.restore(database=database, confirm=database, env=old.env).succeeded()
    [warning] = told(restored)
    assert "CVE-2026-116314" in warning
    assert "CVE-2026-19385" not in warning, "pg_dump has no part in a swap"


def test_what_is_required_stops_before_anything_is_dumped_or_restored(
    local: Local, database: str, old: OldClient
) -> None:
    local.back_up(database)
    before = tree(local.backup_dir), local.databases()
    wish = {"database": database, "require_patched_client": True, "env": old.env}
    for check in (True, False):
        refused = local.backup(**wish, check=check).failed_with("CLIENT_UNPATCHED")
        assert "18.7 or newer" in refused["hint"]
    planned = local.restore(**wish, confirm=database, check=True).succeeded()["plan"]["blockers"]
    assert [found["code"] for found in planned] == ["CLIENT_UNPATCHED"]
    local.restore(**wish, confirm=database).failed_with("CLIENT_UNPATCHED")
    assert (tree(local.backup_dir), local.databases()) == before
    assert old.ran() == {"psql"}, "only questions were asked"
