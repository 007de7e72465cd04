# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Awkward input that must simply work: names that look like something else, and a survey's blank answers."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgfleet.backup.plugins.doc_fragments import connection
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

ContainerFactory = Callable[..., PostgresContainer]

DIFFICULT = 'we"ird $(touch x) näme'


def _back_and_forth(server: Any, run: Callable[..., ModuleResult], options: dict[str, Any]) -> None:
    """Back up the database of the difficult name, lose it, restore it, and see it equal."""
    look = functools.partial(server.sql, DIFFICULT)
    create_shop(server, DIFFICULT, size=20)
    before = snapshot(look)
    entry = run("pg_backup", {**options, "database": DIFFICULT}).succeeded()["backups"][0]
    assert entry["database"] == DIFFICULT
    server.sql(DIFFICULT, "DROP SCHEMA sales CASCADE; COMMENT ON DATABASE {0} IS 'spoilt'".format(quoted(DIFFICULT)))
    done = run("pg_restore", {**options, "database": DIFFICULT, "confirm": DIFFICULT}).succeeded()
    assert done["restore"]["previous_database"].startswith(DIFFICULT + "__before_")
    assert differences(before, snapshot(look)) == []


def test_a_difficult_name_on_the_host(local: Local, tmp_path: Path) -> None:
    _back_and_forth(local.server, functools.partial(local.run, cwd=tmp_path), local.options())
    assert not (tmp_path / "x").exists()
    assert not (local.server.base / "x").exists()


def test_a_difficult_name_in_a_container(module_postgres_container: ContainerFactory, backup_dir: Path) -> None:
    server = module_postgres_container()
    _back_and_forth(server, run_module, {"container": server.name, "backup_dir": backup_dir})
    assert server.shell("sh", "-c", "find / -xdev -name x -newer /proc/1 2>/dev/null | head") == ""


@pytest.mark.parametrize("name", ["-d", "dbname=postgres host=example.com", "postgresql://example.com/x", "..", "@globals",
                                  "a/b%2F\\'c", "n" * 63])
def test_names_that_look_like_something_else(local: Local, name: str) -> None:
    local.create(name)
    entry = local.back_up(name)
    assert Path(entry["path"]).resolve().is_relative_to(local.backup_dir)
    done = local.restore(database=name, confirm=name).succeeded()
    assert done["restore"]["verification"]["rows"] == 3
    assert [item["database"] for item in local.info().succeeded()["backups"]] == [name]


def _blanks(module: str, *, but: set[str]) -> dict[str, str]:
    """Every option of a module, as its documentation names them, set to an empty string."""
    documented = yaml.safe_load(_documentation(module))["options"]
    shared = yaml.safe_load(connection.ModuleDocFragment.DOCUMENTATION)["options"]
    return {name: "" for name in {**documented, **shared} if name not in but}


def _documentation(module: str) -> str:
    found = importlib.import_module(f"ansible_collections.pgfleet.backup.plugins.modules.{module}").DOCUMENTATION
    assert isinstance(found, str)
    return found


def test_blanks_are_unset_whatever_the_option_s_type(local: Local, database: str) -> None:
    """A survey's blank answers arrive as empty strings."""
    needed = {"login_unix_socket", "login_port", "login_user", "backup_dir", "database"}
    entry = local.backup(**{**_blanks("pg_backup", but=needed), "database": database}).succeeded()["backups"][0]
    assert (entry["format"], entry["label"], entry["verification"]["level"]) == ("directory", None, "archive")
    options = {**_blanks("pg_restore", but=needed), "database": database, "confirm": database}
    restored = local.restore(**options).succeeded()["restore"]
    assert (restored["strategy"], restored["target_database"]) == ("swap", database)
    found = local.info(**_blanks("pg_backup_info", but=needed)).succeeded()
    assert [item["id"] for item in found["backups"]] == [entry["id"]]


def test_blanks_inside_lists_and_dictionaries_are_unset(local: Local, database: str) -> None:
    entry = local.back_up(database, schemas=[""], tables=["", ""], extra_args=[""], exclude_databases=[""],
                          retention={"keep_last": "", "keep_daily": "2", "keep_within": ""}, connect_params={})
    assert entry["kind"] == "full"
