# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of a dump is restored, and what stands against it: what it needs, and what it would take along."""

from __future__ import annotations

from typing import Any, FrozenSet, List, Mapping, NamedTuple, Optional, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Fingerprint
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._live import EMPTY, LIVE, Live, Name, read_live
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import RestoreOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._script import Attached
from ansible_collections.pgfleet.backup.plugins.module_utils._selection import choose, entry_name, lacking, spoken
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, name_parts

__all__ = ["WHOLE", "Scope", "find_scope"]

_NAMED = 10  # how many names a message holds


class Scope(NamedTuple):
    """``entries`` are those to restore, None for all. ``kept`` are objects of the target that stay as they are.

    ``attached`` is in the target, and ``partial`` what was asked for. ``replaced_rows`` are statements that delete what
    the dump brings anew of tables that stay.
    """

    entries: Optional[Tuple[TocEntry, ...]] = None
    kept: Tuple[str, ...] = ()
    attached: Attached = Attached()
    partial: bool = False
    replaced_rows: Tuple[str, ...] = ()

    def use_list(self) -> Optional[str]:
        """The content of the file for ``pg_restore --use-list``: dump ids in the archive's own order."""
        if self.entries is None:
            return None
        return "".join("{0};\n".format(entry.dump_id) for entry in self.entries)

    def fingerprint(self, whole: Fingerprint) -> Fingerprint:
        """Of all that the dump holds, what is restored."""
        if self.entries is None:
            return whole
        wanted = {(entry.schema, entry.name) for entry in self.entries if entry.kind in ("TABLE DATA", "SEQUENCE SET")}
        counts = Toc((0, 0, 0), "", "", "", self.entries).counts()
        return whole._replace(
            tables={name: rows for name, rows in whole.tables.items() if tuple(name_parts(name)) in wanted},
            sequences={name: value for name, value in whole.sequences.items() if tuple(name_parts(name)) in wanted},
            objects=counts,
        )


WHOLE = Scope()


def find_scope(
    session: Session, options: RestoreOptions, source: Source, target: str, state: Optional[Mapping[str, Any]]
) -> Tuple[Scope, List[BackupError]]:
    """The part to restore, and all that stands against it. The target is only looked at."""
    toc = source.dump.toc
    in_place = options.strategy == "in_place"
    if toc is None or not (options.partial or in_place):
        return WHOLE, []
    live = EMPTY
    if in_place:
        if state is None or not state["connectable"]:
            return WHOLE, []  # which is found elsewhere
        live = read_live(session.executor.query_json(LIVE, database=target))
    try:
        return scope_of(toc, options, live, in_place=in_place)
    except BackupError as error:
        return WHOLE, [error]


def scope_of(
    toc: Toc, options: RestoreOptions, live: Live, *, in_place: bool
) -> Tuple[Scope, List[BackupError]]:
    """The same, of what is known. Raises ``INVALID_DB_CONFIG`` for names that the archive does not hold."""
    chosen = {entry.dump_id for entry in toc.entries}
    findings: List[Optional[BackupError]] = []
    if options.partial:
        chosen = choose(toc, schemas=options.schemas, tables=options.tables, live=live)
        findings.append(_missing(lacking(toc, chosen, live)))
    kept = _kept(toc, chosen, live, partial=options.partial) if in_place or options.partial else frozenset()
    entries = tuple(entry for entry in toc.entries if entry.dump_id in chosen - kept)
    if in_place:
        findings.append(_disturbed(entries, live))
    spoken_kept = tuple(spoken(entry) for entry in toc.entries
                        if entry.dump_id in kept and entry.kind in ("SCHEMA", "EXTENSION"))
    scope = Scope(entries, spoken_kept, live.attached, options.partial, _replaced_rows(entries, live))
    return scope, [finding for finding in findings if finding is not None]


def _kept(toc: Toc, chosen: Set[int], live: Live, *, partial: bool) -> FrozenSet[int]:
    """Entries that are left out since the target has the like: dropping it would meet what the dump does not know.

    An extension stays, and with it its comment, which takes its owner to set. A schema stays when only a part is
    restored, or when it holds what the dump does not know.
    """
    known = {entry_name(entry) for entry in toc.entries}
    crowded = {schema for kind, schema, name in live.own - known}
    there = [entry for entry in toc.entries if entry.dump_id in chosen and entry_name(entry) in live.names]
    kept = {entry.dump_id for entry in there if entry.kind == "EXTENSION"}
    kept |= {entry.dump_id for entry in there if entry.kind == "SCHEMA" and (partial or entry.name in crowded)}
    comments = {
        entry.dump_id for entry in toc.entries
        if entry.kind == "COMMENT" and entry.name.startswith("EXTENSION ") and kept & set(entry.dependencies)
    }
    return frozenset(kept | comments)


def _replaced_rows(entries: Tuple[TocEntry, ...], live: Live) -> Tuple[str, ...]:
    """An extension's tables stay with it. Rows that refer to others come later in an archive, and go first."""
    tables = [(entry.schema, entry.name) for entry in reversed(entries) if entry.kind == "TABLE DATA"]
    return tuple(
        "DELETE FROM {0}.{1} {2}\n;".format(ident(schema), ident(name), live.extension_rows[schema, name])
        for schema, name in tables if (schema, name) in live.extension_rows
    )


def _missing(names: List[str]) -> Optional[BackupError]:
    if not names:
        return None
    return BackupError(
        "INCOMPATIBLE_TARGET",
        "the chosen part needs what is neither chosen nor in the target: {0}".format(_list(names)),
        hint="Choose these too (or the schemas that hold them), make them in the target first and use "
        "strategy=in_place, or restore the whole backup under another name.",
    )


def _disturbed(entries: Tuple[TocEntry, ...], live: Live) -> Optional[BackupError]:
    """Live objects that need what is dropped and made anew, and would not be made anew themselves."""
    replaced = {entry_name(entry) for entry in entries}
    found = sorted({
        "{0} (needs {1})".format(_shown(who), _shown(what))
        for who, what in live.needs
        if what in replaced and who not in replaced
    })
    if not found:
        return None
    return BackupError(
        "INCOMPATIBLE_TARGET",
        "the target holds what is not restored, and depends on what is replaced: {0}".format(_list(found)),
        hint="Use strategy=swap, which keeps the old database beside the new one. Or drop these (detach partitions) "
        "and make them again after the restore.",
    )


def _shown(name: Name) -> str:
    return ".".join(part for part in name[1:] if part)


def _list(names: List[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (" and {0} more".format(more) if more > 0 else "")
