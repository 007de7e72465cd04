# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target says to a restore: whether it is there and may be replaced, and what clings to it.

A swap renames the target, which PostgreSQL refuses as long as anything is connected to it or prepared in it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._findings import (
    Finding,
    blocker,
    listed,
    remark,
    spelled_size,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import read_locale
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case

__all__ = ["existence", "locale_of_the_target", "prepared_transactions", "replication", "sessions", "spelled_sessions"]

_CLIENT = "client backend"
# What ends by itself, or with the session that it belongs to.
_PASSING = ("autovacuum worker", "parallel worker")
# What the slots and the subscriptions of the target account for.
_REPLICATION = ("walsender", "logical replication")


def existence(case: Case) -> Iterator[Finding]:
    """``TARGET_EXISTS``, ``DATABASE_NOT_FOUND`` or ``RESTORE_NOT_CONFIRMED``."""
    strategy, found = case.options.strategy, case.facts.target
    if strategy == "create" and found is not None:
        yield blocker("TARGET_EXISTS", "target", "the database {0} exists already".format(case.target))
    if strategy == "in_place" and found is None:
        yield blocker(
            "DATABASE_NOT_FOUND", "target", "there is no database {0} to restore in place".format(case.target),
            hint="Use strategy=create for a database that does not exist yet.",
        )
    if found is not None and case.replaces and case.options.confirm != case.target:
        yield blocker(
            "RESTORE_NOT_CONFIRMED", "confirm",
            "this would replace the database {0} ({1}, owner {2}, {3} session(s))".format(
                case.target, spelled_size(found["bytes"]), found["owner"], _count(found["sessions"])),
            hint="Set confirm: {0} if that is what you want. Run with --check --diff to see the plan.".format(
                case.target),
        )


def sessions(case: Case) -> Iterator[Finding]:
    """Who is connected to the target: ended by a swap, in the way of a restore in place."""
    if case.facts.target is None or not case.replaces:
        return
    living = [each for each in case.facts.target["sessions"] if each["kind"] not in _PASSING]
    clients = [each for each in living if each["kind"] == _CLIENT]
    if not case.swaps:
        if clients:
            yield remark("sessions", "{0} stay connected; the restore waits for their locks: {1}".format(
                _plural(clients), spelled_sessions(clients)))
        return
    kept = [each for each in clients if not each["may_be_ended"]]
    if kept:
        yield blocker(
            "TARGET_IN_USE", "sessions", "{0} cannot be ended by {1}: {2}".format(
                _plural(kept), case.facts.server["user"],
                listed("{0} of {1}".format(each["application"], each["user"] or "nobody") for each in kept)),
            hint="End them, or restore as a role that may: a member of their roles or of pg_signal_backend, and for "
            "those of superusers a superuser.",
        )
    ended = [each for each in clients if each["may_be_ended"]]
    if ended:
        yield remark("sessions", "{0} will be ended at the swap: {1}".format(_plural(ended), spelled_sessions(ended)))
    others = [each for each in living if each["kind"] != _CLIENT and not each["kind"].startswith(_REPLICATION)]
    if others:
        yield remark(
            "workers", "the swap fails while background workers are connected: {0}".format(
                listed(each["kind"] for each in others)),
            hint="Stop what runs them before the restore.")


def prepared_transactions(case: Case) -> Iterator[Finding]:
    """They survive every session, and a rename is refused as long as there is one."""
    names: List[str] = list((case.facts.target or {}).get("prepared", ()))
    if not names or not case.replaces:
        return
    hint = "Finish each by COMMIT PREPARED or ROLLBACK PREPARED, in the database {0}.".format(case.target)
    text = "{0} has prepared transactions: {1}".format(case.target, listed(names))
    if case.swaps:
        yield blocker("TARGET_IN_USE", "prepared", text, hint=hint)
    else:
        yield remark("prepared", text + "; the restore waits for their locks", hint=hint)


def replication(case: Case) -> Iterator[Finding]:
    """Logical slots and subscriptions belong to the old database, and stay with it when it is renamed."""
    found = case.facts.target
    if found is None or not case.swaps:
        return
    active = [each["name"] for each in found["slots"] if each["active"]]
    if active:
        yield blocker(
            "TARGET_IN_USE", "slots", "logical replication reads from {0}: slot {1}".format(
                case.target, listed(active)),
            hint="Stop the consumer. Its slot stays with the old database: it has to begin anew after the restore.")
    idle = [each["name"] for each in found["slots"] if not each["active"]]
    if idle:
        yield remark(
            "slots", "logical slots stay with the old database, and keep its log: {0}".format(listed(idle)),
            hint="Create them anew in the restored database, and drop these by pg_drop_replication_slot.")
    enabled = [each["name"] for each in found["subscriptions"] if each["enabled"]]
    if enabled:
        yield blocker(
            "TARGET_IN_USE", "subscriptions", "{0} subscribes to another server: {1}".format(
                case.target, listed(enabled)),
            hint="Disable each by ALTER SUBSCRIPTION … DISABLE, in the database {0}.".format(case.target))
    disabled = [each["name"] for each in found["subscriptions"] if not each["enabled"]]
    if disabled:
        yield remark(
            "subscriptions", "subscriptions stay with the old database, which cannot be dropped before they are: "
            "{0}".format(listed(disabled)))


def locale_of_the_target(case: Case) -> Iterator[Finding]:
    """Text may be stored and sorted otherwise than in the database that is replaced."""
    found, recorded = case.facts.target, case.source.properties
    if found is None or not recorded or not case.replaces:
        return
    present = read_locale(found)
    differing = [key for key in present if recorded.get(key) != present[key]]
    if differing:
        yield remark("locale", "the backup differs from {0}: {1}".format(case.target, listed(
            "{0} {1}, not {2}".format(key, recorded.get(key), present[key]) for key in differing)))


def spelled_sessions(found: Iterable[Mapping[str, Any]]) -> str:
    """``web x 3, psql x 1``; empty without any."""
    counts: Dict[str, int] = {}
    for each in found:
        counts[each["application"]] = counts.get(each["application"], 0) + each["count"]
    return listed("{0} x {1}".format(name, count) for name, count in sorted(
        counts.items(), key=lambda item: (-item[1], item[0])))


def _count(found: Iterable[Mapping[str, Any]]) -> int:
    return sum(each["count"] for each in found)


def _plural(found: Iterable[Mapping[str, Any]]) -> str:
    count = _count(found)
    return "1 session" if count == 1 else "{0} sessions".format(count)
