# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our role may not do, and the restore would have to. A superuser may do everything."""

from __future__ import annotations

from typing import Iterator, List

from ansible_collections.pgfleet.backup.plugins.module_utils._findings import Finding, blocker, listed, remark
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case

__all__ = ["content", "databases", "owners", "settings", "tablespaces"]

# Objects that only superusers may create.
_FOR_SUPERUSERS = (
    "ACCESS METHOD", "EVENT TRIGGER", "FOREIGN DATA WRAPPER", "OPERATOR CLASS", "OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE",
)


def databases(case: Case) -> Iterator[Finding]:
    """Making a database, and renaming the one that is there."""
    server, found = case.facts.server, case.facts.target
    if server["superuser"]:
        return
    if case.makes and not server["createdb"]:
        yield blocker(
            "INCOMPATIBLE_TARGET", "rights", "the role {0} may not create databases".format(server["user"]),
            hint="ALTER ROLE … CREATEDB, or use strategy=in_place, which needs none.")
    if found is not None and case.swaps and not found["ours"]:
        yield blocker(
            "INCOMPATIBLE_TARGET", "rights", "{0} belongs to {1}, and {2} is no member of that role".format(
                case.target, found["owner"], server["user"]),
            hint="Restore as the owner, or as a member of it.")


def owners(case: Case) -> Iterator[Finding]:
    """Objects, and the database itself, are given to their owners by whoever may act as them."""
    if case.options.no_owner or case.facts.server["superuser"]:
        return
    here = case.facts.server["roles"]
    # A role of the server's own, such as pg_database_owner, is whatever it is in each database.
    wanted = {name for name in case.source.owners if not name.startswith("pg_") and not case.options.session_role}
    wanted.add(case.applied.get("owner") or "")
    refused = sorted(name for name in wanted if name in here and not here[name]["become"])
    if refused:
        yield blocker(
            "INCOMPATIBLE_TARGET", "owners", "{0} may not give objects to their owners: {1}".format(
                case.facts.server["user"], listed(refused)),
            hint="GRANT those roles to {0}, or set no_owner=true.".format(case.facts.server["user"]))


def settings(case: Case) -> Iterator[Finding]:
    """Settings of the database, and of roles in it."""
    server = case.facts.server
    recorded = case.applied.get("settings", ())
    if case.options.no_owner:  # those of roles are left out then
        recorded = [each for each in recorded if not each["role"]]
    unknown: List[str] = []
    refused: List[str] = []
    for each in recorded:
        name = each["setting"].partition("=")[0]
        here = server["settings"][name.lower()]
        role = server["roles"].get(each["role"], {"alter": True})
        if server["superuser"] and not here["known"] and "." not in name:  # one with a dot may be anybody's own
            unknown.append(name)
        elif not here["may_set"] or not role["alter"]:
            refused.append("{0} of {1}".format(name, each["role"]) if each["role"] else name)
    if unknown:
        yield blocker(
            "INCOMPATIBLE_TARGET", "settings", "the server does not know settings of the backup: {0}".format(
                listed(sorted(unknown))))
    if refused:
        yield blocker(
            "INCOMPATIBLE_TARGET", "settings", "{0} may not apply settings of the backup: {1}".format(
                server["user"], listed(sorted(refused))),
            hint="Restore as a superuser, or let the role do it by GRANT SET ON PARAMETER.")


def tablespaces(case: Case) -> Iterator[Finding]:
    """Using a tablespace takes a privilege on it."""
    names = {*case.source.manifest.get("tablespaces", ()), case.properties.get("tablespace") or ""}
    here = case.facts.server["tablespaces"]
    # Everybody may use the database's own, which is mostly pg_default, without any privilege.
    refused = sorted(
        name for name in names - {"pg_default"} if name in here and not here[name]["create"]
    )
    if refused:
        yield blocker(
            "INCOMPATIBLE_TARGET", "tablespaces", "{0} may not create in the tablespaces {1}".format(
                case.facts.server["user"], listed(refused)),
            hint="GRANT CREATE ON TABLESPACE … TO {0}.".format(case.facts.server["user"]))


def content(case: Case) -> Iterator[Finding]:
    """Objects and extensions in the backup that only superusers may create."""
    server, options = case.facts.server, case.options
    if server["superuser"] or options.partial or options.session_role:
        return
    available = server["extensions"]
    refused = [
        "extension {0}".format(name) for name in sorted(case.source.extensions)
        if name != "plpgsql" and available.get(name, {}).get("superuser")
    ]
    refused += [
        "{0} x {1}".format(kind.lower(), case.source.kinds[kind]) for kind in _FOR_SUPERUSERS
        if case.source.kinds.get(kind)
    ]
    if not refused:
        return
    text = "only superusers may create what the backup holds: {0}".format(listed(refused))
    if server["provider_admin"]:  # who may do some of it nevertheless
        yield remark("rights", text)
    else:
        yield blocker("INCOMPATIBLE_TARGET", "rights", text, hint="Restore as a superuser.")
