# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found from facts alone; the real servers of ``test_restore_plan`` are not old, full or somebody's else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _checks_rights, _checks_server, _checks_target
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import Finding, listed, spelled_size
from ansible_collections.pgfleet.backup.plugins.module_utils._plan_diff import plan_diff
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case, Disk, Facts, needed_bytes
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import read_restore_options
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_plan import estimate
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, append_verdict, read_set
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.unit.manifests import make_manifest, write_set

MIB = 1024 * 1024

SERVER: dict[str, Any] = {
    "server_version": "17.5", "server_version_num": 170005, "user": "postgres", "superuser": True, "createdb": True,
    "in_recovery": False, "data_directory": "/data", "max_wal_bytes": 1024 * MIB, "provider_admin": False, "icu": True,
    "missing_locales": [], "collation_version": None, "roles": {"shop": {"become": True, "alter": True}},
    "extensions": {"pg_trgm": {"version": "1.6", "superuser": False}}, "tablespaces": {},
    "settings": {"work_mem": {"known": True, "may_set": True}},
}
TARGET: dict[str, Any] = {
    "oid": "16384", "owner": "shop", "connectable": True, "ours": True, "bytes": MIB, "comment": None, "encoding": "UTF8",
    "row": {"datlocprovider": "c", "datcollate": "C.UTF-8", "datctype": "C.UTF-8"},
    "sessions": [], "prepared": [], "slots": [], "subscriptions": [],
}
PLAIN_ROLE = {"superuser": False, "user": "shop"}


def toc(*entries: tuple[str, str, str]) -> Toc:
    """An archive's head with these kinds, names and owners."""
    return Toc((1, 16, 0), "shop", "16.3", "17.5", tuple(
        TocEntry(kind=kind, schema="", name=name, owner=owner, has_data=False, copy_statement=b"", file_name="")
        for kind, name, owner in entries))


def case(
    *, manifest: dict[str, Any] | None = None, server: dict[str, Any] | None = None, target: dict[str, Any] | None = None,
    missing: bool = False, free: int | None = None, head: Toc | None = None, foreign: bool = False, **options: Any,
) -> Case:
    """A restore of the manifest that tests share, as it would be without anything to remark."""
    params = {"backup_dir": "/b", "strategy": "swap", "confirm": "shop", **options}
    backup = None if foreign else BackupSet("/b/shop_db/shop/1", make_manifest(**(manifest or {})))
    source = Source(Dump("/b/shop_db/shop/1/database", "directory" if head or not foreign else "plain", "none", head), backup)
    facts = Facts("docker", {**SERVER, **(server or {})}, None if missing else {**TARGET, **(target or {})},
                  Disk("/data", free))
    return Case(read_restore_options(params), source, "shop", facts)


def told(check: Callable[[Case], Iterator[Finding]], about: Case) -> list[tuple[str | None, str]]:
    """Code (None for a remark) and message of each finding."""
    found = list(check(about))
    assert all(finding.hint or finding.level == "remark" for finding in found)
    return [(finding.code, finding.msg) for finding in found]


def test_a_standby_is_refused() -> None:
    assert told(_checks_server.standby, case(server={"in_recovery": True}))[0][0] == "INCOMPATIBLE_TARGET"
    assert told(_checks_server.standby, case()) == []


@pytest.mark.parametrize(("number", "version", "level", "words"), [
    (170005, "17.11", None, None),
    (180001, "17.11", "remark", "this server is 18"),
    (150010, "17.11", "remark", "an older 15"),
])
def test_major_versions(number: int, version: str, level: str | None, words: str | None) -> None:
    found = list(_checks_server.versions(case(manifest={"server_version": version}, server={"server_version_num": number})))
    assert [finding.level for finding in found] == ([level] if level else [])
    assert all(str(words) in finding.msg for finding in found)


@pytest.mark.parametrize(("number", "provider", "locale", "code", "words"), [
    (140001, "icu", "de-DE", None, "sorts by libc's C.UTF-8"),
    (160001, "builtin", "C.UTF-8", "INCOMPATIBLE_TARGET", "came with PostgreSQL 17"),
    (170001, "builtin", "PG_UNICODE_FAST", "INCOMPATIBLE_TARGET", "came with PostgreSQL 18"),
])
def test_locales_that_came_later(number: int, provider: str, locale: str, code: str | None, words: str) -> None:
    properties = {**make_manifest()["database_properties"], "locale_provider": provider, "locale": locale}
    about = case(manifest={"database_properties": properties}, server={"server_version_num": number})
    [(found, message)] = told(_checks_server.locale, about)
    assert found == code
    assert words in message
    assert told(_checks_server.locale, about._replace(options=about.options._replace(strategy="in_place"))) == []


@pytest.mark.parametrize(("free", "code"), [
    (4096 * MIB, "nothing"),  # twice 1000 MiB, and 1 GiB of log
    (3023 * MIB, None),
    (51 * MIB, None),
    (49 * MIB, "NO_SPACE"),  # not even half of the dump's 100 MiB
])
def test_too_little_room_stops_only_what_cannot_fit(free: int, code: str | None) -> None:
    manifest = {"database_bytes": 1000 * MIB, "files": [{"path": "database/1.dat", "size": 100 * MIB, "sha256": "ab" * 32}]}
    about = case(manifest=manifest, free=free)
    assert needed_bytes(about) == 3024 * MIB
    assert [found for found, _message in told(_checks_server.disk, about)] == ([] if code == "nothing" else [code])


def test_room_that_is_not_known_is_no_finding() -> None:
    assert told(_checks_server.disk, case(free=None)) == []
    assert told(_checks_server.disk, case(free=1, foreign=True)) == []


@pytest.mark.parametrize(("recorded", "now", "findings"), [
    ("2.31", "2.36", 1), ("2.36", "2.36", 0), (None, "2.36", 0), ("2.31", None, 0),
])
def test_collation_versions(recorded: str | None, now: str | None, findings: int) -> None:
    about = case(manifest={"collation_version": recorded}, server={"collation_version": now})
    assert [code for code, _message in told(_checks_server.collation, about)] == [None] * findings


@pytest.mark.parametrize(("kind", "found"), [
    ("autovacuum worker", []), ("parallel worker", []), ("walsender", []),
    ("logical replication apply worker", []), ("pg_cron launcher", [None]),
])
def test_what_is_connected_but_no_client(kind: str, found: list[str | None]) -> None:
    worker = {"application": "x", "user": "", "kind": kind, "may_be_ended": False, "count": 1}
    assert [code for code, _message in told(_checks_target.sessions, case(target={"sessions": [worker]}))] == found


def test_a_drill_and_a_new_database_do_not_look_at_the_target() -> None:
    busy = {"prepared": ["x"], "slots": [{"name": "s", "active": True}], "ours": False,
            "sessions": [{"application": "x", "user": "u", "kind": "client backend", "may_be_ended": False, "count": 1}],
            "subscriptions": [{"name": "s", "enabled": True}]}
    checks = (_checks_target.existence, _checks_target.sessions, _checks_target.prepared_transactions,
              _checks_target.replication, _checks_rights.databases)
    for about in (case(target=busy, strategy="drill"), case(missing=True, strategy="create"), case(missing=True)):
        assert [told(check, about) for check in checks] == [[]] * 5
    assert [len(told(check, case(target=busy, server=PLAIN_ROLE))) for check in checks] == [0, 1, 1, 2, 1]


@pytest.mark.parametrize(("server", "code"), [({}, "INCOMPATIBLE_TARGET"), ({"provider_admin": True}, None)])
def test_what_only_superusers_may_create(server: dict[str, Any], code: str | None) -> None:
    head = toc(("EVENT TRIGGER", "watcher", "postgres"), ("EXTENSION", "postgis", ""), ("TABLE", "t", "shop"))
    available = {"postgis": {"version": "3.4", "superuser": True}}
    about = case(head=head, foreign=True, server={**PLAIN_ROLE, "extensions": available, **server})
    assert told(_checks_rights.content, about) == [
        (code, "only superusers may create what the backup holds: extension postgis, event trigger x 1")]
    assert told(_checks_rights.content, case(head=head, foreign=True, server={"extensions": available})) == []


def test_owners_of_an_archive() -> None:
    head = toc(("TABLE", "t", "other"), ("SCHEMA", "public", "pg_database_owner"), ("TABLE", "u", "shop"))
    roles = {"other": {"become": False, "alter": False}, "pg_database_owner": {"become": False, "alter": False},
             "shop": {"become": True, "alter": True}}
    found = told(_checks_rights.owners, case(head=head, server={**PLAIN_ROLE, "roles": roles}))
    assert found == [("INCOMPATIBLE_TARGET", "shop may not give objects to their owners: other")]
    assert told(_checks_rights.owners, case(head=head, server={**PLAIN_ROLE, "roles": roles}, no_owner=True)) == []
    # Restored as another role, whose rights we do not know.
    assert told(_checks_rights.owners, case(head=head, server={**PLAIN_ROLE, "roles": roles}, session_role="x")) == []


@pytest.mark.parametrize(("setting", "role", "server", "found"), [
    ("old_setting=1", None, {}, ["the server does not know settings of the backup: old_setting"]),
    ("app.colour=red", None, {}, []),
    ("app.colour=red", None, PLAIN_ROLE, ["shop may not apply settings of the backup: app.colour"]),
    ("jit=off", "other", {**PLAIN_ROLE, "settings": {"jit": {"known": True, "may_set": True}}},
     ["shop may not apply settings of the backup: jit of other"]),
])
def test_settings(setting: str, role: str | None, server: dict[str, Any], found: list[str]) -> None:
    name = setting.partition("=")[0]
    facts = {"settings": {name: {"known": False, "may_set": server != PLAIN_ROLE}},
             "roles": {"other": {"become": False, "alter": False}}, **server}
    properties = {**make_manifest()["database_properties"], "settings": [{"role": role, "setting": setting}]}
    about = case(manifest={"database_properties": properties}, server=facts)
    assert [message for _code, message in told(_checks_rights.settings, about)] == found
    assert told(_checks_rights.settings, about._replace(options=about.options._replace(strategy="drill"))) == []


def test_an_estimate_prefers_what_was_measured(tmp_path: Any) -> None:
    timings = {"dump_seconds": 10.0, "verify_seconds": 5.0, "total_seconds": 16.0}
    older = write_set(tmp_path, sequence=1, timings=timings, database_bytes=1000)
    newer = write_set(tmp_path, sequence=2, timings=timings, database_bytes=3000)
    base = case()

    def guess(backup: BackupSet) -> dict[str, Any]:
        return estimate(base._replace(source=Source(base.source.dump, backup)))

    assert guess(newer) == {"seconds": 25.0, "bytes": 3000, "basis": "backup"}
    verdict = {"level": "restore", "result": "ok", "seconds": 20.0}
    failed = {"level": "restore", "result": "failed", "seconds": 1.0}
    append_verdict(older, verdict)
    append_verdict(older, failed)
    assert guess(newer) == {"seconds": 65.0, "bytes": 3000, "basis": "earlier_drill"}
    assert guess(read_set(older.path)) == {"seconds": 25.0, "bytes": 1000, "basis": "drill"}


def test_spelling() -> None:
    assert spelled_size(None) == "size unknown"
    assert [spelled_size(size) for size in (0, 1023, 1536, 7 * MIB, 5 * 1024**5)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "7.0 MiB", "5120.0 TiB"]
    assert listed("abc") == "a, b, c"
    assert listed(map(str, range(20))) == "0, 1, 2, 3, 4, 5, 6, 7, and 12 more"


@pytest.mark.parametrize("page", ["README.md", "docs/restore.md"])
def test_the_plan_that_is_shown_is_what_is_printed(page: str) -> None:
    web = {"application": "web", "user": "shop", "kind": "client backend", "may_be_ended": True, "count": 3}
    about = case(manifest={"extensions": {"postgis": "3.5"}}, target={"prepared": ["nightly"], "sessions": [web]})
    checks = (_checks_server.extensions, _checks_target.prepared_transactions, _checks_target.sessions)
    findings = [finding.describe() for check in checks for finding in check(about)]
    plan = plan_diff({
        "target_database": "shop", "strategy": "swap", "backup": {"path": "/b/one"}, "keep_previous": 1,
        "target": {"bytes": 10187391, "owner": "postgres", "sessions": {"web": 3}},
        "findings": findings, "blockers": [each for each in findings if each["code"]],
        "estimate": {"seconds": 0.9, "bytes": 10187391, "basis": "drill"},
        "disk": {"needed": 1094116606, "where": "/var/lib/postgresql/data", "free": 80101302272},
    })
    before, after = (plan[key].splitlines(keepends=True) for key in ("before", "after"))
    heads = ("before: " + plan["before_header"], "after: " + plan["after_header"])
    assert "```\n" + "".join(difflib.unified_diff(before, after, *heads)) + "```\n" in (REPOSITORY / page).read_text(encoding="utf-8")
