# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's examples, run as they stand: playbooks, ad hoc, module_defaults, and the pages of ansible-doc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support import shop
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, REPOSITORY, clean_environment

EXAMPLES = REPOSITORY / "docs" / "examples"
MODULES = ("pg_backup", "pg_restore", "pg_backup_info")

Run = Callable[..., CliResult]


@pytest.fixture(scope="module")
def app(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    """A container with the shop in it."""
    container = module_postgres_container(database="shop")
    container.sql("shop", shop.shop_sql(size=40))
    return container


def test_the_playbooks_back_up_and_restore(ansible_playbook: Run, app: PostgresContainer, backup_dir: Path) -> None:
    backed_up = ansible_playbook(EXAMPLES / "backup.yml", extra_vars={
        "backup_hosts": "all", "backup_container": app.name, "backup_folder": str(backup_dir)}).succeeded()
    entry = backed_up.of("Back up the database")["backups"][0]
    assert entry["verified"] is True
    assert Path(entry["path"], "manifest.json").is_file()
    app.sql("shop", "DROP TABLE sales.payments CASCADE")
    variables = {"restore_hosts": "all", "restore_container": app.name, "restore_folder": str(backup_dir)}
    refused = ansible_playbook(EXAMPLES / "restore.yml", extra_vars=variables)
    assert refused.rc != 0
    assert refused.of("Restore the newest backup")["code"] == "RESTORE_NOT_CONFIRMED"
    restored = ansible_playbook(
        EXAMPLES / "restore.yml", extra_vars={**variables, "restore_confirm": "shop"}).succeeded()
    assert restored.of("Restore the newest backup")["restore"]["verification"]["result"] == "ok"
    assert app.sql("shop", "SELECT count(*) > 0 FROM sales.payments") == ["t"]


def test_module_defaults_by_group_reach_every_module(
    ansible_playbook: Run, app: PostgresContainer, backup_dir: Path
) -> None:
    done = ansible_playbook(EXAMPLES / "module_defaults.yml", extra_vars={
        "backup_hosts": "all", "backup_container": app.name, "backup_folder": str(backup_dir)}).succeeded()
    made = done.of("Back up, unless there is a backup of today")
    assert made["context"]["container"]["name"] == app.name
    assert [item["path"] for item in done.of("Prove that every stored backup is still whole")["backups"]] == [
        made["backups"][0]["path"]]


def test_ad_hoc_by_the_full_name(ansible_adhoc: Run, app: PostgresContainer, backup_dir: Path) -> None:
    done = ansible_adhoc("pgfleet.backup.pg_backup", f"container={app.name} backup_dir={backup_dir}").succeeded()
    assert done.tasks[0].result["backups"][0]["status"] == "ok"


def test_ad_hoc_by_the_short_name_with_the_shipped_configuration(
    ansible_adhoc: Run, app: PostgresContainer, backup_dir: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    installed = home / ".ansible" / "collections" / "ansible_collections" / "pgfleet"
    installed.mkdir(parents=True)
    (installed / "backup").symlink_to(REPOSITORY)
    done = ansible_adhoc(
        "pg_backup", f"container={app.name} backup_dir={backup_dir}", config=EXAMPLES / "ansible.cfg",
        env={"HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": None, "PYTHONPATH": None},
    ).succeeded()
    assert done.tasks[0].result["backups"][0]["verified"] is True


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_every_option_of_the_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "doc", f"pgfleet.backup.{module}"], capture_output=True, text=True,
        check=False, env=clean_environment({"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "PAGER": "cat"}),
    )
    assert done.returncode == 0, done.stderr
    for text in ("login_unix_socket", "backup_dir", "EXAMPLES:", "RETURN VALUES:"):
        assert text in done.stdout


def _oldest_python() -> str | None:
    versions = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.8.*/bin/python3.8"))
    return str(versions[-1]) if versions else shutil.which("python3.8")


def test_a_managed_host_with_the_oldest_python(
    ansible_adhoc: Run, app: PostgresContainer, backup_dir: Path
) -> None:
    python = _oldest_python()
    if python is None or subprocess.run([python, "-c", ""], check=False).returncode != 0:
        pytest.skip("there is no Python 3.8 on this machine")
    hosts: dict[str, dict[str, Any]] = {"old": {"ansible_python_interpreter": python}}
    for module, arguments in (
        ("pg_backup", f"container={app.name} backup_dir={backup_dir}"),
        ("pg_restore", f"container={app.name} backup_dir={backup_dir} confirm=shop"),
        ("pg_backup_info", f"container={app.name} backup_dir={backup_dir} verify=archive discover=true"),
    ):
        done = ansible_adhoc(f"pgfleet.backup.{module}", arguments, hosts=hosts).succeeded()
        # That interpreter has no SDK, so the command takes its place.
        assert done.tasks[0].result["context"]["engine_client"] == "cli"
