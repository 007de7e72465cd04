# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_backup_info lists, proves again and discovers; and that it changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

ContainerFactory = Callable[..., PostgresContainer]
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def _ids(result: dict[str, Any]) -> list[str]:
    return [item["id"] for item in result["backups"]]


def _made_earlier(path: str, by: timedelta) -> None:
    """Let a set be older than it is."""
    file = Path(path) / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    for key in ("created", "finished"):
        moment = datetime.strptime(manifest[key], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) - by
        manifest[key] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    file.write_text(json.dumps(manifest), encoding="utf-8")


# -- listing --------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_holds_nothing(backup_dir: Path) -> None:
    result = run_module("pg_backup_info", {"backup_dir": backup_dir}, env=NO_ENGINE).succeeded()
    assert (result["backups"], result["problems"]) == ([], [])
    assert result["summary"] == {"count": 0, "bytes": 0, "newest": None, "oldest": None, "stale": [], "unverified": [],
                                 "suspicious": []}
    assert not backup_dir.exists()


def test_filters_and_summary(local: Local, database: str) -> None:
    other = local.create(database + "_other")
    first = local.back_up(database, instance="a", label="monthly")
    second = local.back_up(database, instance="a", verify="none")
    third = local.back_up(other, instance="a", tables=["t"])
    fourth = local.back_up(database, instance="b")
    _made_earlier(first["path"], timedelta(days=2))
    files = tree(local.backup_dir)

    def listed(**options: Any) -> list[str]:
        return _ids(local.info(**options).succeeded())

    # It needs no server to list what lies in a folder.
    everything = run_module("pg_backup_info", {"backup_dir": local.backup_dir, "stale_after": "1d"}, env=NO_ENGINE)
    result = everything.succeeded()
    assert _ids(result) == [first["id"], second["id"], third["id"], fourth["id"]]
    assert listed(instance="a") == [first["id"], second["id"], third["id"]]
    assert listed(database=other) == [third["id"]]
    assert listed(label="monthly") == [first["id"]]
    assert listed(verified_only=True) == [first["id"], third["id"], fourth["id"]]
    assert listed(instance="a", database=database, verified_only=True) == [first["id"]]
    assert listed(instance="unknown") == []
    summary = result["summary"]
    assert summary["count"] == 4
    assert summary["bytes"] == sum(file["size"] for item in result["backups"] for file in item["files"])
    assert summary["newest"] == fourth["created"]
    assert summary["oldest"] < second["created"]
    assert summary["stale"] == [f"a/{database}"]
    assert summary["unverified"] == [second["path"]]
    assert not everything.changed
    assert tree(local.backup_dir) == files


def test_what_cannot_be_read_is_reported_beside_the_rest(local: Local, database: str) -> None:
    good, bad = local.back_up(database), local.back_up(database)
    (Path(bad["path"]) / "manifest.json").write_text("{")
    result = local.info().succeeded()
    assert _ids(result) == [good["id"]]
    assert [problem["path"] for problem in result["problems"]] == [bad["path"]]


# -- proving again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", ["checksum", "archive"])
def test_a_flipped_byte_is_found(local: Local, database: str, verify: str) -> None:
    good, bad = local.back_up(database), local.back_up(database, format="custom")
    dump = Path(bad["path"]) / "database.dump"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    files = tree(local.backup_dir)
    assert all(item["verified"] for item in local.info().succeeded()["backups"])

    done = local.info(verify=verify)
    result = done.succeeded()
    verdicts = {item["id"]: (item["verified"], item["reverified"]["result"], item["reverified"]["code"])
                for item in result["backups"]}
    assert verdicts == {good["id"]: (True, "ok", None), bad["id"]: (False, "failed", "CHECKSUM_MISMATCH")}
    assert result["summary"]["unverified"] == [bad["path"]]
    assert str(dump) in "\n".join(result["log"])
    assert not done.changed
    assert tree(local.backup_dir) == files


def test_an_archive_is_read_to_its_end(local: Local, database: str) -> None:
    """The checksums are right, and yet it breaks off: as a dump that was cut off before it was ever checked."""
    folder = Path(local.back_up(database, format="plain", compression="none")["path"])
    dump = folder / "database.sql"
    content = dump.read_bytes().partition(b"\n3\n")[0]
    dump.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == "database.sql":
            file.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert local.info(verify="checksum").succeeded()["backups"][0]["reverified"]["result"] == "ok"
    [found] = local.info(verify="archive").succeeded()["backups"]
    assert (found["verified"], found["reverified"]["code"]) == (False, "VERIFY_FAILED")


# -- discovery ------------------------------------------------------------------------------------------------------


def test_a_local_server_is_discovered_with_its_databases(local: Local, database: str) -> None:
    before = tree(local.backup_dir.parent)
    result = local.info(discover=True, docker_host=NO_ENGINE["DOCKER_HOST"]).succeeded()
    [server] = result["servers"]
    assert server["instance"] == f"local_{local.server.port}"
    assert (server["context"]["mode"], server["context"]["executor"]) == ("local", "host")
    assert server["context"]["trace"]
    sizes = {item["name"]: item["bytes"] for item in server["databases"]}
    assert sizes[database] > 1000000
    assert "template0" not in sizes
    assert local.sessions() == []
    assert tree(local.backup_dir.parent) == before


def test_every_container_with_a_server_is_discovered(
    postgres_container: ContainerFactory, local: Local, backup_dir: Path
) -> None:
    one = postgres_container(user="shop", database="orders")
    two = postgres_container(labels={"com.docker.compose.project": "crm", "com.docker.compose.service": "db"})
    stopped = postgres_container()
    stopped.stop()
    result = run_module("pg_backup_info", {"backup_dir": backup_dir, "discover": True, "container": one.name}).succeeded()
    # Other tests' containers may be there too.
    servers = {server["context"]["container"]["name"]: server for server in result["servers"]
               if (server["context"].get("container") or {}).get("name") in (one.name, two.name, stopped.name)}
    assert set(servers) == {one.name, two.name}
    assert result["context"]["container"]["name"] == one.name
    assert (servers[one.name]["instance"], servers[two.name]["instance"]) == (one.name, "crm_db")
    assert {item["name"] for item in servers[one.name]["databases"]} == {"postgres", "orders"}
    for server in servers.values():
        assert server["error"] is None
        assert (server["context"]["mode"], server["context"]["executor"]) == ("in_container", "docker")
        assert server["context"]["credential_source"] == "CredFromRunningContainer"
        assert re.match(r"\d+", server["context"]["server_version"])
        assert {step["outcome"] for step in server["context"]["trace"]} >= {"found"}
    assert not backup_dir.exists()

    # A server of the host itself, when it is named, stands first among them.
    beside = local.info(discover=True).succeeded()
    assert beside["servers"][0]["instance"] == f"local_{local.server.port}"
    names = [(server["context"].get("container") or {}).get("name") for server in beside["servers"]]
    assert {one.name, two.name} <= set(names)
    assert names.count(one.name) == 1


def test_discovery_without_any_server_says_why(backup_dir: Path) -> None:
    result = run_module("pg_backup_info", {"backup_dir": backup_dir, "discover": True}, env=NO_ENGINE).succeeded()
    assert result["servers"] == []
    assert [step["outcome"] for step in result["context"]["trace"]].count("found") == 0
    assert "nonexistent" in json.dumps(result["context"]["trace"])
