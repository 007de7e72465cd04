# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for the hour in which a database is gone: its commands, as they are printed, do what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

PAGE = REPOSITORY / "docs" / "when-you-need-it-back.md"
COUNT = "SELECT count(*) FROM public.customers"


@pytest.fixture
def app(postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    server = postgres_container(database="shop")
    server.sql("shop", "CREATE TABLE public.customers AS SELECT generate_series(1, 100) AS id")
    return server


def commands() -> Iterator[tuple[str, list[str]]]:
    """The page's calls of ``ansible``: the module, and the words that follow it."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[0] == "ansible":
                assert words[1:3] == ["db1", "--become"]
                yield words[words.index("-m") + 1], words[3:]


def test_the_commands_of_the_page(
    app: PostgresContainer, ansible_adhoc: Callable[..., CliResult], backup_dir: Path
) -> None:
    wish = {"container": app.name, "database": "shop", "backup_dir": backup_dir}
    backup = run_module("pg_backup", wish).succeeded()["backups"][0]["id"]

    def run(module: str, words: list[str]) -> dict[str, Any]:
        text = words[words.index("-a") + 1]
        given = json.loads(text) if text.startswith("{") else dict(word.split("=", 1) for word in text.split())
        here = {"container": app.name, "backup_dir": str(backup_dir)}
        args = {key: backup if value == "ID" else value for key, value in {**given, **here}.items()}
        if module.endswith("info"):
            del args["container"]
        switches = [word for word in words if word in ("--check", "--diff")]
        done = ansible_adhoc(module, args, switches=switches)
        assert done.rc == 0, done.output
        return done.tasks[0].result

    listed, beside, one_table, plan, whole, back = commands()
    assert [item["id"] for item in run(*listed)["backups"]] == [backup]

    app.sql("shop", "DELETE FROM public.customers WHERE id > 10")
    run(*beside)
    assert (app.sql("shop_lost", COUNT), app.sql("shop", COUNT)) == (["100"], ["10"])
    run(*one_table)
    assert app.sql("shop", COUNT) == ["100"]

    app.sql("shop", "DELETE FROM public.customers")
    assert run(*plan)["plan"]["replaces"] is True
    run(*whole)
    assert app.sql("shop", COUNT) == ["100"]
    run(*back)
    assert app.sql("shop", COUNT) == ["0"]
