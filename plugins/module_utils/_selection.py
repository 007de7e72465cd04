# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of an archive: chosen tables with all that is theirs, chosen schemas, and what these need.

``pg_restore --table`` leaves a table's indexes, constraints, sequences, triggers and privileges behind, and
``--schema`` the schema itself. So what is wanted is chosen here and given to ``pg_restore --use-list``.
"""

from __future__ import annotations

import difflib
from typing import Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._live import CLASSES, Live, Name
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import name_parts

__all__ = ["choose", "entry_name", "lacking", "spoken"]

_RELATIONS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE")
# What belongs to the relation that its own name begins with: "orders orders_pkey", "orders".
_OF_NAMED = (
    "TABLE DATA", "MATERIALIZED VIEW DATA", "SEQUENCE SET", "SEQUENCE OWNED BY", "DEFAULT", "CONSTRAINT",
    "CHECK CONSTRAINT", "FK CONSTRAINT", "RULE", "TRIGGER", "POLICY", "ROW SECURITY",
)
# What belongs to whatever relation it depends on; a sequence depends on a table only when that owns it.
_OF_RELATION = ("INDEX", "STATISTICS", "SEQUENCE")
# What belongs to any object it depends on.
_OF_ANYTHING = ("COMMENT", "ACL", "SECURITY LABEL", "STATISTICS DATA")
_MEMBERSHIPS = ("PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA")


def choose(toc: Toc, *, schemas: Sequence[str], tables: Sequence[str], live: Live) -> Set[int]:
    """The dump ids of the entries to restore: tables (within ``schemas``, if any), else whole schemas.

    A table comes with its partitions, indexes, constraints, triggers, policies, owned sequences, comments and
    privileges; its schema comes when it is not there yet. A publication that is there takes its tables in again.
    Raises ``INVALID_DB_CONFIG`` for a name that the archive does not hold, or holds more than once.
    """
    by_id = {entry.dump_id: entry for entry in toc.entries}
    known = sorted({entry.name for entry in toc.entries if entry.kind == "SCHEMA"} | {
        entry.schema for entry in toc.entries if entry.schema})
    for name in schemas:
        if name not in known:
            raise _unknown("schema", name, known)
    if tables:
        chosen = {_find_relation(toc, name, schemas).dump_id for name in tables}
    else:
        chosen = {
            entry.dump_id
            for entry in toc.entries
            if entry.schema in schemas or (entry.kind == "SCHEMA" and entry.name in schemas)
        }
    _add_what_belongs(toc, chosen, by_id)
    wanted = {by_id[number].schema for number in chosen}
    chosen |= {
        entry.dump_id for entry in toc.entries
        if entry.kind == "SCHEMA" and entry.name in wanted
    }
    memberships = {
        entry.dump_id: any(entry_name(by_id[number]) in live.names for number in entry.dependencies
                           if number in by_id and by_id[number].kind == "PUBLICATION")
        for entry in toc.entries
        if entry.kind in _MEMBERSHIPS and any(number in chosen for number in entry.dependencies)
    }
    chosen -= set(memberships)
    return chosen | {number for number, there in memberships.items() if there}


def lacking(toc: Toc, chosen: Set[int], live: Live) -> List[str]:
    """What the chosen entries need that is neither among them nor in the target, spoken."""
    by_id = {entry.dump_id: entry for entry in toc.entries}
    found: Set[str] = set()
    seen: Set[int] = set()
    waiting = [number for chosen_id in chosen if chosen_id in by_id for number in by_id[chosen_id].dependencies]
    while waiting:
        number = waiting.pop()
        if number in seen or number in chosen or number not in by_id:
            continue
        seen.add(number)
        entry = by_id[number]
        if entry.kind in CLASSES:
            if entry_name(entry) not in live.names:
                found.add(spoken(entry))
        else:
            # A constraint is there if its table is. What has no names of its own here is left to the server.
            waiting += entry.dependencies
    return sorted(found)


def entry_name(entry: TocEntry) -> Name:
    """The name by which a live database knows this object."""
    return CLASSES.get(entry.kind, entry.kind), entry.schema, entry.name.replace("(*)", "()")


def spoken(entry: TocEntry) -> str:
    """``table sales.orders``."""
    return "{0} {1}".format(entry.kind.lower(), _full_name(entry))


def _full_name(entry: TocEntry) -> str:
    return "{0}.{1}".format(entry.schema, entry.name) if entry.schema else entry.name


def _find_relation(toc: Toc, name: str, schemas: Sequence[str]) -> TocEntry:
    relations = [
        entry for entry in toc.entries
        if entry.kind in _RELATIONS and (not schemas or entry.schema in schemas)
    ]
    parts = tuple(name_parts(name))
    found = [
        entry for entry in relations
        if name in (entry.name, _full_name(entry)) or parts in ((entry.name,), (entry.schema, entry.name))
    ]
    if len(found) > 1:
        raise BackupError(
            "INVALID_DB_CONFIG",
            "the backup holds more than one table {0}: {1}".format(name, ", ".join(sorted(map(_full_name, found)))),
            hint="Name it with its schema.")
    if not found:
        raise _unknown("table", name, [_full_name(entry) for entry in relations])
    return found[0]


def _unknown(kind: str, name: str, known: Iterable[str]) -> BackupError:
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    short = {each.rpartition(".")[2]: each for each in names}
    near += [short[each] for each in difflib.get_close_matches(name.rpartition(".")[2], list(short), n=5, cutoff=0.6)
             if short[each] not in near]
    hint = "Near to it: {0}.".format(", ".join(near)) if near else "It holds {0}{1}.".format(
        ", ".join(names[:10]) or "none", " and others" if len(names) > 10 else "")
    return BackupError("INVALID_DB_CONFIG", "the backup holds no {0} {1}".format(kind, name), hint=hint)


def _add_what_belongs(toc: Toc, chosen: Set[int], by_id: Mapping[int, TocEntry]) -> None:
    """Add entries until there are no more that belong to a chosen one."""
    dependents: Dict[int, List[TocEntry]] = {}
    for entry in toc.entries:
        for number in entry.dependencies:
            dependents.setdefault(number, []).append(entry)
    waiting = list(chosen)
    while waiting:
        number = waiting.pop()
        for entry in dependents.get(number, ()):
            for added in _belonging(entry, by_id[number], by_id):
                if added not in chosen:
                    chosen.add(added)
                    waiting.append(added)


def _belonging(entry: TocEntry, owner: TocEntry, by_id: Mapping[int, TocEntry]) -> Tuple[int, ...]:
    """The dump ids that come along with ``owner`` because ``entry`` depends on it."""
    if entry.kind == "TABLE ATTACH":
        child = [number for number in entry.dependencies if number in by_id and _is_named(entry, by_id[number])]
        return (entry.dump_id, *child)
    if entry.kind == "INDEX ATTACH":
        belongs = owner.kind in ("INDEX", "CONSTRAINT") and owner.schema == entry.schema and (
            owner.name == entry.name or owner.name.endswith(" " + entry.name))
    elif entry.kind in _OF_NAMED:
        # Of "a" and "a b" it is the longer one that "a b c" begins with.
        named = [by_id[number] for number in entry.dependencies if number in by_id]
        named = [each for each in named if each.kind in _RELATIONS and _is_named(entry, each)]
        belongs = bool(named) and owner == max(named, key=lambda each: len(each.name))
    elif entry.kind in _OF_RELATION:
        belongs = owner.kind in _RELATIONS and owner.kind != "SEQUENCE"
    else:
        belongs = entry.kind in _OF_ANYTHING
    return (entry.dump_id,) if belongs else ()


def _is_named(entry: TocEntry, owner: TocEntry) -> bool:
    return entry.schema == owner.schema and (entry.name == owner.name or entry.name.startswith(owner.name + " "))
