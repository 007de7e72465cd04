# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ways across a container's wall bring the same bytes, and neither can be turned against the host."""

from __future__ import annotations

import functools
import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import ContainerFile, PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

TRANSPORTS = ["fifo", "stream"]

# More than what is small, hardly to be compressed, and one large object that looks compressed and is not.
MORE = """
    CREATE TABLE wide AS SELECT n, md5(n::text) || md5((n * 7)::text) AS body FROM generate_series(1, 20000) n;
    SELECT lo_from_bytea(0, decode('1f8b0800', 'hex') || convert_to(repeat('no gzip at all ', 40000), 'UTF8'));
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the host looks into a container as root only")


@pytest.fixture
def python_for(tmp_path: Path) -> Callable[[str], str]:
    """``python_for("stream")``: an interpreter in a process namespace of its own, which sees no container's process."""

    def make(transport: str) -> str:
        if transport == "fifo":
            return sys.executable
        script = tmp_path / "python-apart"
        script.write_text(f'#!/bin/sh\nexec unshare --pid --fork --kill-child --mount-proc {sys.executable} "$@"\n')
        script.chmod(0o755)
        return str(script)

    return make


def options(server: PostgresContainer, backup_dir: Path, **more: Any) -> dict[str, Any]:
    return {"container": server.name, "database": "shop", "backup_dir": backup_dir, **more}


def script(backup: dict[str, Any]) -> list[bytes]:
    """The lines of a plain dump, without those that pg_dump makes up anew each time."""
    text = gzip.decompress((Path(backup["path"]) / "database.sql.gz").read_bytes())
    return [line for line in text.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict"))]


@pytest.fixture(scope="module")
def shop_server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    server = module_postgres_container()
    create_shop(server, "shop", size=20)
    server.sql("shop", MORE)
    return server


@pytest.mark.parametrize("kind", ["directory", "custom", "plain", "tar"])
def test_both_ways_bring_the_same(
    kind: str, shop_server: PostgresContainer, backup_dir: Path, python_for: Callable[[str], str]
) -> None:
    taken: dict[str, Any] = {}
    for transport in TRANSPORTS:
        wish = options(shop_server, backup_dir, format=kind)
        done = run_module("pg_backup", wish, python=python_for(transport)).succeeded()
        taken[transport] = done["backups"][0]
        assert (done["context"]["transport"], taken[transport]["transport"]) == (transport, transport)
    fifo, stream = (taken[transport] for transport in TRANSPORTS)
    assert fifo["fingerprint"] == stream["fingerprint"]
    assert [file["path"] for file in fifo["files"]] == [file["path"] for file in stream["files"]]
    if kind == "plain":  # the others have the time in their head
        assert script(fifo) == script(stream)
    look = functools.partial(shop_server.sql, "shop")
    before = snapshot(look)
    for transport in TRANSPORTS if kind in ("directory", "custom") else ():
        shop_server.sql("shop", "DELETE FROM wide")
        wish = options(shop_server, backup_dir, backup=taken[transport]["path"], confirm="shop", keep_previous=0)
        restored = run_module("pg_restore", wish, python=python_for(transport)).succeeded()
        assert restored["restore"]["verification"]["rows"] == sum(fifo["fingerprint"]["tables"].values())
        assert differences(before, snapshot(look)) == []
    assert shop_server.shell("sh", "-c", "ls -A /tmp") == "", "nothing is left in the container"


def test_the_same_set_through_the_other_wall(
    shop_server: PostgresContainer, backup_dir: Path, python_for: Callable[[str], str]
) -> None:
    """What one way has packed, the other unpacks: a client of version 15 reads no zstd."""
    run_module("pg_backup", options(shop_server, backup_dir)).succeeded()
    before = snapshot(functools.partial(shop_server.sql, "shop"))
    wish = options(shop_server, backup_dir, target_database="copy", strategy="create")
    done = run_module("pg_restore", wish, python=python_for("stream")).succeeded()
    assert done["context"]["transport"] == "stream"
    assert differences(before, snapshot(functools.partial(shop_server.sql, "copy"))) == []
    shop_server.sql("postgres", "DROP DATABASE copy")


def test_a_temporary_folder_that_is_a_link_is_not_followed_from_outside(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    server = postgres_container()
    create_shop(server, "shop", size=10)
    server.shell("sh", "-c", "rm -rf /tmp && mkdir -m 1777 /elsewhere && ln -s /elsewhere /tmp")
    done = run_module("pg_backup", options(server, backup_dir)).succeeded()
    assert done["context"]["transport"] == "stream"
    assert done["backups"][0]["verified"]


def test_an_image_without_a_shell(postgres_container: Callable[..., PostgresContainer], backup_dir: Path) -> None:
    """Nothing can be staged in it, and its tools run all the same."""
    server = postgres_container()
    create_shop(server, "shop", size=10)
    version = server.shell("pg_dump", "--version").split()[2]
    server.shell("rm", "/bin/sh")
    done = run_module("pg_backup", options(server, backup_dir)).succeeded()
    assert (done["context"]["client_version"], done["context"]["transport"]) == (version, "stream")
    assert (done["backups"][0]["format"], done["backups"][0]["verified"]) == ("custom", True)


# A pg_dump that does its work, and then puts something else in the place of its largest file.
HOSTILE = """#!/bin/sh
real=/usr/lib/postgresql/*/bin/pg_dump
case "$*" in *--version*) exec $real "$@";; esac
$real "$@" || exit
for arg in "$@"; do case "$arg" in /tmp/.pgfleet-*) folder=$arg;; esac; done
file=$(ls -S "$folder" | head -n 1)
rm "$folder/$file"
%s
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "trick",
    ['ln -s {secret} "$folder/$file"', 'mkfifo "$folder/$file"', 'mkdir "$folder/$file"', 'mknod "$folder/$file" c 1 5'],
    ids=["link", "pipe", "folder", "device"],
)
def test_a_hostile_dump_reads_nothing_of_the_host(
    trick: str, transport: str, postgres_container: Callable[..., PostgresContainer], backup_dir: Path, tmp_path: Path,
    python_for: Callable[[str], str],
) -> None:
    secret = tmp_path / "secret-of-the-host"
    secret.write_text("a secret of the host")
    pg_dump = ContainerFile(HOSTILE % trick.format(secret=secret), mode=0o755)
    server = postgres_container(files={"/usr/local/sbin/pg_dump": pg_dump})
    create_shop(server, "shop", size=10)
    done = run_module("pg_backup", options(server, backup_dir), python=python_for(transport))
    done.failed_with("BACKUP_FAILED")
    assert [path for path in backup_dir.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert secret.read_text() == "a secret of the host"
    assert server.shell("sh", "-c", "ls -A /tmp") == ""


def test_a_dump_that_the_container_has_no_room_for_is_streamed(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    server = postgres_container(tmpfs={"/tmp": "size=4m"})  # less than an empty database has
    create_shop(server, "shop", size=10)
    before = snapshot(functools.partial(server.sql, "shop"))
    done = run_module("pg_backup", options(server, backup_dir)).succeeded()
    [backup] = done["backups"]
    assert (backup["format"], backup["verified"]) == ("custom", True)
    assert "without parallel jobs" in backup["warnings"][0]
    server.sql("shop", "DROP SCHEMA sales CASCADE")
    run_module("pg_restore", options(server, backup_dir, confirm="shop")).succeeded()
    assert differences(before, snapshot(functools.partial(server.sql, "shop"))) == []
    assert server.shell("sh", "-c", "ls -A /tmp") == ""
