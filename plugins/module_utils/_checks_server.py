# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server lacks, or does otherwise than the one that the backup came from."""

from __future__ import annotations

from typing import Iterator, List

from ansible_collections.pgfleet.backup.plugins.module_utils._findings import (
    Finding,
    blocker,
    listed,
    remark,
    spelled_size,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case, majors, needed_bytes

__all__ = [
    "collation",
    "disk",
    "extensions",
    "locale",
    "roles",
    "standby",
    "subscriptions",
    "tablespaces",
    "unknown_needs",
    "versions",
]

_BUILTIN_SINCE = {"C": 17, "C.UTF-8": 17, "PG_UNICODE_FAST": 18}


def standby(case: Case) -> Iterator[Finding]:
    """Nothing can be written to a standby."""
    if case.facts.server["in_recovery"]:
        yield blocker("INCOMPATIBLE_TARGET", "server", "the server is a standby, which is only read",
                      hint="Restore to its primary.")


def roles(case: Case) -> Iterator[Finding]:
    """Roles that the backup refers to."""
    options = case.options
    missing = sorted(set(case.source.roles) - set(case.facts.server["roles"]))
    if not missing:
        return
    text = "the server lacks roles that the backup refers to: {0}".format(listed(missing))
    if options.create_missing_roles and case.source.backup is not None:
        yield remark("roles", text + "; they will be created")
    elif options.create_missing_roles or (options.no_owner and options.no_privileges):
        yield remark("roles", text)
    else:
        yield blocker(
            "INCOMPATIBLE_TARGET", "roles", text,
            hint="Set create_missing_roles=true to create them from the backup, or no_owner=true and "
            "no_privileges=true to restore without them.",
        )


def extensions(case: Case) -> Iterator[Finding]:
    """Extensions by name; the version is the server's own default, whatever the backup's was."""
    available = case.facts.server["extensions"]
    missing = sorted(set(case.source.extensions) - set(available))
    if missing and not case.options.partial:
        yield blocker(
            "INCOMPATIBLE_TARGET", "extensions", "the server lacks extensions that the backup needs: {0}".format(
                listed(missing)),
            hint="Install them on the server; CREATE EXTENSION itself is part of the restore.")
    elif missing:
        yield remark("extensions", "the server lacks extensions of the backup's database: {0}".format(listed(missing)))
    others = [
        "{0} {1}, not {2}".format(name, available[name]["version"], version)
        for name, version in sorted(case.source.extensions.items())
        if version and name in available and available[name]["version"] != version
    ]
    if others:
        yield remark("extensions", "the server installs other versions than the backup's: {0}".format(listed(others)))


def tablespaces(case: Case) -> Iterator[Finding]:
    """Tablespaces by name."""
    missing = sorted(set(case.source.manifest.get("tablespaces", ())) - set(case.facts.server["tablespaces"]))
    if missing:
        yield blocker("INCOMPATIBLE_TARGET", "tablespaces", "the server lacks tablespaces: {0}".format(listed(missing)),
                      hint="Create them on the server, by CREATE TABLESPACE.")


def locale(case: Case) -> Iterator[Finding]:
    """A locale that the server cannot make a database with."""
    properties, server = case.properties, case.facts.server
    if not properties:
        return
    major = majors(case)[1]
    provider, name = properties["locale_provider"], properties["locale"]
    wrong: List[str] = [
        "the locale {0} of the operating system".format(each) for each in server["missing_locales"]
    ]
    if major < 15 and provider != "libc":
        # CREATE DATABASE has no word for it there.
        yield remark("locale", "PostgreSQL {0} sorts by libc's {1}, where the backup was sorted by {2}'s {3}".format(
            major, properties["collate"], provider, name))
    elif provider == "icu" and not server["icu"]:
        wrong.append("ICU, for the locale {0}".format(name))
    elif provider == "builtin" and major < _BUILTIN_SINCE.get(name, 0):
        wrong.append("the builtin locale {0}, which came with PostgreSQL {1}".format(name, _BUILTIN_SINCE[name]))
    if wrong:
        yield blocker(
            "INCOMPATIBLE_TARGET", "locale", "the server does not have {0}".format(listed(wrong)),
            hint="Install it on the server, or create the database yourself and use strategy=in_place.")


def collation(case: Case) -> Iterator[Finding]:
    """Another version of the sorting rules. Indexes are built anew; what was split by them is not."""
    recorded, now = case.source.manifest.get("collation_version"), case.facts.server["collation_version"]
    if recorded and now and recorded != now:
        yield remark(
            "collation", "text was sorted by version {0} of its rules, and will be by {1}".format(recorded, now),
            hint="Indexes are built anew. Look at tables that are partitioned by ranges of text.")


def versions(case: Case) -> Iterator[Finding]:
    """Another major version of the server."""
    came_from, here = majors(case)
    if came_from > here:
        yield remark(
            "version", "the backup is of PostgreSQL {0}, and this server is an older {1}: what it does not know ends "
            "the restore".format(came_from, here))
    elif 0 < came_from < here:
        yield remark("version", "the backup is of PostgreSQL {0}, this server is {1}".format(came_from, here))


def disk(case: Case) -> Iterator[Finding]:
    """Room for the database. A database may have shrunk since, so a blocker needs more than too little room."""
    place, needed = case.facts.disk, needed_bytes(case)
    if place.free is None or needed is None or place.free >= needed or case.options.partial:
        return
    text = "{0} has {1} free, and the restore may need {2}".format(
        place.where, spelled_size(place.free), spelled_size(needed))
    hint = "Free space there, or drop databases that were kept by earlier restores."
    backup = case.source.backup
    sizes = [case.source.manifest["database_bytes"]] + ([backup.bytes] if backup else [])
    if 2 * place.free < min(sizes):
        yield blocker("NO_SPACE", "disk", text, hint=hint)
    else:
        yield remark("disk", text, hint=hint)


def subscriptions(case: Case) -> Iterator[Finding]:
    """Restored ones are there and idle: what is restored must not talk to anybody unasked."""
    if case.source.kinds.get("SUBSCRIPTION") and case.options.strategy != "drill" and not case.options.partial:
        yield remark("subscriptions", "the backup's subscriptions are restored disabled",
                     hint="ALTER SUBSCRIPTION … ENABLE makes one contact its publisher.")


def unknown_needs(case: Case) -> Iterator[Finding]:
    """What cannot be looked at beforehand, since nothing tells it."""
    if case.source.backup is not None:
        return
    unknown = "its size, properties and tablespaces are unknown"
    if case.source.dump.toc is None:
        unknown = "its size, properties, roles, extensions and tablespaces are unknown"
    yield remark("backup", "a dump without a manifest: {0}".format(unknown))
