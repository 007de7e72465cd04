# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases of the client tools are known to be unsafe for what we do with them: one table."""

from __future__ import annotations

from typing import Collection, List, Mapping, NamedTuple, Sequence, Tuple

__all__ = ["FLAWS", "Flaw", "fixed_release", "open_flaws"]


class Flaw(NamedTuple):
    """``what`` it allows to whom, and the ``tools`` that are open to it.

    ``fixed`` has the first minor release with the fix, by the major version. Newer majors never had the flaw, and older
    ones that are not named never got the fix.
    """

    cve: str
    what: str
    tools: Tuple[str, ...]
    fixed: Mapping[int, int]


# The worst first: those that need the least of an attacker. ``psql`` means psql that runs a dump, not our own queries.
# Quoted is what the PostgreSQL project says of each (https://www.postgresql.org/support/security/<CVE>). The numbers
# are from there and from its release notes.
FLAWS: Tuple[Flaw, ...] = (
    # "allows a non-plain archive provider to execute arbitrary code as the operating system user running pg_restore"
    Flaw("CVE-2026-116314", "a crafted archive runs code in pg_restore", ("pg_restore",),
         {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}),
    # "allows an object creator to execute arbitrary code as the operating system user running pg_dump"
    Flaw("CVE-2026-19385", "whoever creates functions in a database runs code in pg_dump", ("pg_dump",),
         {14: 24, 15: 19, 16: 15, 17: 11, 18: 6}),
    # "replacing a sequence or similar object with a view or foreign table that will execute malicious code"
    Flaw("CVE-2024-7348", "whoever creates objects in a database runs SQL as the role of pg_dump", ("pg_dump",),
         {12: 20, 13: 16, 14: 13, 15: 8, 16: 4}),
    # "Because both the \lo_export command in psql and pg_dump call lo_read(), the server superuser can overwrite
    # pg_dump or psql stack memory": \lo_export is never used here.
    Flaw("CVE-2026-6477", "a hostile server overwrites the memory of pg_dump", ("pg_dump",),
         {14: 23, 15: 18, 16: 14, 17: 10, 18: 4}),
    # "The fix for CVE-2025-8714 introduced \restrict and \unrestrict to block this attack, but \unrestrict itself was
    # sufficient for an attack. […] pg_restore is affected when used to generate a plain-format dump"
    Flaw("CVE-2026-18408", "a dump from a hostile server runs commands in psql", ("psql",),
         {14: 24, 15: 19, 16: 15, 17: 11, 18: 6}),
    # "inject arbitrary code for restore-time execution as the client operating system account running psql"
    Flaw("CVE-2025-8714", "a dump from a hostile server runs commands in psql", ("psql",),
         {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}),
)


def open_flaws(version: Sequence[int], tools: Collection[str]) -> List[Flaw]:
    """The flaws that a client of that ``version``, such as (15, 18), leaves open in ``tools``; the worst first."""
    major, minor = version[0], version[1] if len(version) > 1 else 0
    return [
        flaw for flaw in FLAWS
        if set(tools).intersection(flaw.tools) and major <= max(flaw.fixed) and minor < flaw.fixed.get(major, minor + 1)
    ]


def fixed_release(flaws: Sequence[Flaw], major: int) -> str:
    """The first release of that major version in which all the ``flaws`` are fixed; empty when there is none."""
    if not all(major in flaw.fixed for flaw in flaws):
        return ""
    return "{0}.{1}".format(major, max(flaw.fixed[major] for flaw in flaws))
