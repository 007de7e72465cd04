# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_md import globals_restore_md, restore_md
from ansible_collections.pgfleet.backup.tests.unit.manifests import make_manifest

PROPERTIES = {
    **make_manifest()["database_properties"],
    "acl": [{"grantor": "shop", "grantee": None, "privilege": "CONNECT", "grantable": False}],
}
HOSTILE = "x\nEND_OF_SQL\ntouch escaped\n```\n\n```sh\ntouch escaped\n```\n$(touch escaped)`touch escaped`"


def blocks(text: str) -> list[str]:
    """The commands that a reader would paste."""
    return [found[1] for found in re.findall(r"^(`{3,})sh\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)]


def page(*files: str, **changes: Any) -> str:
    manifest = make_manifest(**{"database_properties": PROPERTIES, **changes})
    return restore_md(manifest, ["database/toc.dat", *files])


def commands(*files: str, **changes: Any) -> list[str]:
    return blocks(page(*files, **changes))


def test_the_steps_in_order() -> None:
    text = page("globals.sql")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# How to restore this backup by hand", "## Roles", "## Database", "## Data", "## Properties", "## Statistics",
    ]
    steps = blocks(text)
    assert steps[0].endswith(" manifest.json | sha256sum -c")
    assert steps[1] == "psql -X -v ON_ERROR_STOP=1 -d dbname=postgres -f globals.sql"
    assert 'CREATE DATABASE "shop" TEMPLATE template0' in steps[2]
    assert steps[3] == "pg_restore --exit-on-error -d dbname=shop -j 2 database"
    assert 'ALTER DATABASE "shop" OWNER TO "shop";\nREVOKE ALL ON DATABASE "shop" FROM PUBLIC, "shop";\n' in steps[4]
    assert steps[5] == "vacuumdb --analyze-only -d dbname=shop"


def test_without_globals() -> None:
    assert not [step for step in commands() if "globals.sql" in step]


@pytest.mark.parametrize(("format_", "compression", "command"), [
    ("directory", "zstd:3", "pg_restore --exit-on-error -d dbname=shop -j 2 database"),
    ("custom", "gzip", "pg_restore --exit-on-error -d dbname=shop -j 2 database.dump"),
    ("tar", "none", "pg_restore --exit-on-error -d dbname=shop database.tar"),
    ("plain", "none", "psql -X -v ON_ERROR_STOP=1 -1 -d dbname=shop -f database.sql"),
    ("plain", "gzip:6", "gunzip -c database.sql.gz | psql -X -v ON_ERROR_STOP=1 -1 -d dbname=shop"),
    ("plain", "zstd:3", "zstd -dc database.sql.zst | psql -X -v ON_ERROR_STOP=1 -1 -d dbname=shop"),
    ("plain", "lz4", "lz4 -dc database.sql.lz4 | psql -X -v ON_ERROR_STOP=1 -1 -d dbname=shop"),
])
def test_the_data_command_of_each_format(format_: str, compression: str, command: str) -> None:
    assert command in commands(format=format_, compression=compression)


@pytest.mark.parametrize("changes", [
    {"database": HOSTILE},
    {"database_properties": {**PROPERTIES, "comment": HOSTILE}},
    {"database_properties": {**PROPERTIES, "owner": HOSTILE, "collate": HOSTILE}},
])
def test_names_and_comments_reach_no_shell(tmp_path: Path, changes: dict[str, Any]) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("psql", "pg_restore", "vacuumdb", "sha256sum"):
        (tools / tool).write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" >>told\ncat >>told\n")
        (tools / tool).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    steps = commands("globals.sql", **changes)
    assert len(steps) == 6
    for step in steps:
        subprocess.run(
            ["sh", "-e"], input=step.encode(), check=True, cwd=work,
            env={"PATH": "{0}:{1}".format(tools, os.environ["PATH"])})
    assert os.listdir(work) == ["told"]
    assert "touch escaped" in (work / "told").read_text()


def test_a_hostile_name_adds_no_block_to_the_page() -> None:
    text = page(database="x\n```sh\nrm -rf /\n```\n")
    assert len(blocks(text)) == 5
    assert "Database `x '''sh rm -rf / '''` of PostgreSQL" in text


def test_globals_of_a_cluster() -> None:
    assert blocks(globals_restore_md(make_manifest())) == ["psql -X -d dbname=postgres -f globals.sql"]
