# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets that are nowhere, for the report: what their runs would have found out at NOW, the same each time."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time, parse_time

__all__ = ["NOW", "ago", "copies", "fragment", "healthy", "history", "host", "large", "made", "troubled"]

# Today, because a page that is days old says so: the browser's clock cannot be set.
NOW = f"{datetime.now(UTC):%Y-%m-%d}T05:30:00Z"
_NOW = parse_time(NOW)
_GIB = 1024 ** 3
_NAMES = ("shop", "billing", "crm", "wiki", "metrics", "mail", "forum", "booking", "ledger", "search", "photos", "auth")


def ago(**how_long: float) -> datetime:
    return _NOW - timedelta(**how_long)


def fragment(*hosts: dict[str, Any], generated: str = NOW) -> dict[str, Any]:
    return {"schema_version": 1, "generated": generated, "hosts": list(hosts)}


def host(name: str, **known: Any) -> dict[str, Any]:
    return {"host": name, "reachable": True, "error": None, **known}


def made(at: datetime, **changes: Any) -> dict[str, Any]:
    """An entry of ``backups``, as ``pg_backup_info`` returns it with ``detail=brief``."""
    return {
        "id": f"{at:%Y%m%dT%H%M%SZ}-4f1c", "instance": "app", "database": "shop", "kind": "full",
        "created": format_time(at), "host": None, "port": 5432, "container": {"name": "app"},
        "timings": {"total_seconds": 52.5}, "status": "ok", "verified": True, "level": "archive", "bytes": 1000,
        "drill": None, **changes,
    }


def history(
    database: str, *, size: float = _GIB, hours_ago: float = 3, days: int = 365, daily: bool = False, growth: float = 1.6,
    seed: str = "", **changes: Any
) -> list[dict[str, Any]]:
    """A year of sets: daily for two weeks, then weekly, or daily throughout; drilled now and then."""
    rng = random.Random(database + seed)  # noqa: S311  # the same each time is what is wanted
    ages = [*range(14), *range(14, days, 7)] if not daily else range(days)
    sets = []
    for age in sorted(ages, reverse=True):
        at = ago(hours=hours_ago, days=age)
        grown = growth ** (-age / 365) * (1 + 0.06 * math.sin(age / 23)) * rng.uniform(0.98, 1.02)
        drill = {"at": format_time(at + timedelta(hours=1)), "result": "ok", "seconds": size * grown / _GIB * 31, "message": ""}
        sets.append(made(
            at, database=database, bytes=round(size * grown), timings={"total_seconds": round(size * grown / _GIB * 24, 1)},
            drill=drill if age % 28 == 0 and age < days - 28 else None, level="restore" if age % 28 == 0 else "archive", **changes,
        ))
    return sets


def copies(sets: list[dict[str, Any]], where: str = "controller", *, verified: bool = True) -> list[dict[str, Any]]:
    """Copies of the last ones, elsewhere."""
    return [
        {"id": item["id"], "instance": item["instance"], "database": item["database"], "where": where, "verified": verified,
         "created": item["created"], "bytes": item["bytes"]}
        for item in sets[-10:]
    ]


def ok(*sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The target of each history, backed up."""
    return [{"instance": item[-1]["instance"], "database": item[-1]["database"], "outcome": "ok"} for item in sets]


def healthy() -> dict[str, Any]:
    """Six hosts, all of them safe."""
    hosts = []
    for number in range(6):
        sets = [
            history(name, size=(0.4 + 3 * position) * _GIB, hours_ago=2 + number, growth=1.2 + position / 3, seed=str(number))
            for position, name in enumerate(_NAMES[number * 2:number * 2 + 2])
        ]
        everything = [item for one in sets for item in one]
        away = [item for one in sets for item in copies(one) + (copies(one[:-1], "s3://vault") if number % 2 else [])]
        hosts.append(host(f"db{number + 1}.example.com", targets=ok(*sets), backups=everything, copies=away, servers=[]))
    return fragment(*hosts)


def troubled() -> dict[str, Any]:
    """Every way in which a fleet can be in trouble, beside what is fine."""
    shop, crm, wiki = history("shop"), history("crm", size=5.2 * _GIB, hours_ago=2), history("wiki", hours_ago=71)
    auth, mail, books = history("auth", hours_ago=5), history("mail", size=9 * _GIB, hours_ago=4), history("ledger")
    books[-1]["drill"] = {
        "at": format_time(ago(hours=1)), "result": "failed", "seconds": 20,
        "message": "VERIFY_FAILED: public.entry has 41 rows instead of 42",
    }
    books[-1]["verified"] = False
    photos = history("photos", size=48 * _GIB, hours_ago=6)
    return fragment(
        host("app1.example.com", targets=ok(shop), backups=shop + crm, copies=copies(shop) + copies(crm), servers=[
            {"instance": "app", "context": {"container": {"name": "app"}, "host": None, "port": 5432}, "error": None,
             "databases": [{"name": "shop", "bytes": 3 * _GIB}, {"name": "crm", "bytes": 1}, {"name": "invoices", "bytes": 21 * _GIB}]}]),
        host("app2.example.com", targets=[{
            "instance": "app", "database": "wiki", "outcome": "failed", "code": "NO_SPACE",
            "msg": "NO_SPACE: /var/lib/pgfleet/backups/app/wiki: No space left on device",
            "hint": "Free space on the file system that is named, or set backup_dir to another one."}],
            backups=wiki, copies=copies(wiki[:-3]), servers=[]),
        host("app3.example.com", reachable=False, error={
            "code": None, "msg": "Failed to connect to the host via ssh: No route to host", "hint": None}),
        host("app4.example.com", targets=[*ok(auth), {
            "instance": "app", "database": "mail", "code": "CONNECTION_FAILED", "failed": True,
            "msg": "CONNECTION_FAILED: the server closed the connection unexpectedly",
            "hint": "Check that the server is running and reachable at this address, and its TLS settings."}],
            backups=auth + mail, copies=copies(auth) + copies(mail), servers=[]),
        host("app5.example.com", targets=ok(books), backups=books, copies=copies(books), servers=[]),
        host("app6.example.com", targets=ok(photos), backups=photos, copies=[], servers=[]),
        host("app7.example.com", targets=[{
            "instance": "forum_db", "database": "forum", "outcome": "failed", "code": "AUTH_FAILED",
            "msg": "AUTH_FAILED: password authentication failed for user \"backup\"",
            "hint": "Check login_user and login_password, and the server's pg_hba.conf."}], backups=[], copies=[], servers=[]),
    )


def large(hosts: int, days: int = 365) -> list[dict[str, Any]]:
    """A fragment for each of many hosts, one database each with a set for every day; a few in trouble."""
    fragments = []
    for number in range(hosts):
        sets = history(_NAMES[number % 12], hours_ago=60 if number % 97 == 5 else 3, days=days, daily=True, seed=str(number))
        known = host(f"db{number:04}.example.com", targets=ok(sets), backups=sets, copies=copies(sets), servers=[])
        if number % 101 == 7:
            known = host(f"db{number:04}.example.com", reachable=False)
        fragments.append(fragment(known))
    return fragments
