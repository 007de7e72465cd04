# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_targets import fleet_items, fleet_targets


def server(name: str | None, mode: str | None = "in_container", **context: Any) -> dict[str, Any]:
    """One of ``servers`` as pg_backup_info returns them."""
    container = {"id": "c0ffee", "name": name} if name else None
    source = context.pop("source", "CredFromRunningContainer")
    return {"instance": name, "context": {"mode": mode, "container": container, "credential_source": source}}


def test_a_target_wins_over_what_all_share_also_by_a_blank() -> None:
    shared = {"login_unix_socket": "/run/pg", "login_user": "backup", "max_age": "", "all_databases": True}
    assert fleet_targets([{"login_unix_socket": "", "login_host": "db", "name": "shop"}, {}], shared) == [
        {"login_host": "db", "login_user": "backup", "database": "shop"},
        {"login_unix_socket": "/run/pg", "login_user": "backup", "all_databases": True},
    ]
    assert fleet_targets([{"all_databases": "yes"}], {"db": "shop"}) == [{"all_databases": "yes"}]


def test_a_host_waits_once_before_it_begins() -> None:
    complete = fleet_targets([{"database": "one"}, {"database": "two"}], {"start_jitter": 60})
    assert [target.get("start_jitter") for target in complete] == [60, None]


def test_found_servers_become_targets_each_with_credentials_of_its_own() -> None:
    found = {"servers": [
        server(None, "external"), server("shop/db"), server("kept", source="CredFromPersistedFile"), server("named"),
    ]}
    shared = {"backup_dir": "/srv/pg/backups", "verify": "checksum"}
    own, *others = fleet_targets([{"container": "named", "database": "one"}], shared, found=found)
    assert own == {**shared, "container": "named", "database": "one"}
    every = {**shared, "all_databases": True}
    assert others == [
        {**every, "mode": "external"},
        {**every, "mode": "in_container", "container": "shop/db", "credentials_file": "/srv/pg/state/shop%2Fdb.env"},
        {**every, "mode": "in_container", "container": "kept"},
    ]


def test_nothing_found_and_a_failed_search_add_nothing() -> None:
    assert fleet_targets(None, None, found={"failed": True, "msg": "no"}) == []
    assert fleet_targets([], {}, found={"skipped": True}) == []


def test_items_hold_no_secret_and_say_which_target_they_are() -> None:
    items = fleet_items([
        {"login_host": "db", "login_port": 6432, "login_password": "s3cret", "signing_key": "k" * 20, "database": "shop"},
        {"container": "app", "all_databases": "true", "rpo": "2h", "connect_params": {"x": "s3cret"}},
        {},
    ])
    assert [(item["index"], item["target"], item["database"], item["all_databases"], item["rpo"]) for item in items] == [
        (0, "db:6432", "shop", False, ""), (1, "app", "", True, "2h"), (2, "the discovered server", "", False, "")]
    assert "s3cret" not in str(items)
    assert "kkkk" not in str(items)


def test_all_databases_become_those_with_a_full_backup_of_that_server() -> None:
    def backup(database: str, instance: str = "app", kind: str = "full") -> dict[str, str]:
        return {"database": database, "instance": instance, "kind": kind}

    looked: dict[str, Any] = {"results": [{
        "ansible_loop_var": "one", "one": {"index": 1}, "context": {"mode": "in_container"},
        "servers": [{"instance": "app"}, {"instance": "other"}],
        "backups": [backup("a"), backup("a"), backup("b"), backup("left"), backup("x", "other"),
                    backup("@globals", kind="globals"), backup("part", kind="filtered")],
    }]}
    targets: list[dict[str, Any]] = [{"database": "z"}, {"all_databases": True, "exclude_databases": ["left"]}]
    assert [(item["index"], item["database"]) for item in fleet_items(targets, looked)] == [(0, "z"), (1, "a"), (1, "b")]
    # Where no server was found there is nothing to be sure of; the restore itself then says so.
    looked["results"][0]["context"] = {"mode": None}
    assert [item["database"] for item in fleet_items(targets, looked)] == ["z", ""]
