# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparisons as a table of ratios, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured

__all__ = ["Row", "head", "line", "numbers"]


class Row(NamedTuple):
    """One comparison: ours against the usual way, and how much of its time ours may take (None: only shown)."""

    work: str
    usual: str
    ours: Measured
    theirs: Measured
    most: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.theirs.seconds

    @property
    def missed(self) -> bool:
        return self.most is not None and self.ratio > self.most


def head() -> str:
    return (f"{'work':<42} {'against':<34} {'ours':>8} {'theirs':>8} {'ratio':>6} {'aim':>5} {'size':>5} "
            f"{'MiB ours/theirs':>16} {'engine':>9}")


def line(row: Row) -> str:
    """``size`` is ours against theirs; ``engine`` by how many MiB the engine's own process grew for ours and theirs.

    ``-``: no more memory than the benchmark itself, which cannot be told.
    """
    ours, theirs = row.ours, row.theirs
    size = f"{ours.size / theirs.size:.2f}" if ours.size and theirs.size else ""
    aim = "" if row.most is None else f"{row.most:.2f}"
    return (f"{row.work:<42} {row.usual:<34} {ours.seconds:>7.2f}s {theirs.seconds:>7.2f}s {row.ratio:>6.2f} {aim:>5} "
            f"{size:>5} {_mib(ours):>8}/{_mib(theirs):<7} {ours.engine:>4.0f}/{theirs.engine:<4.0f}"
            f"{'  missed' if row.missed else ''}")


def _mib(measured: Measured) -> str:
    return f"{measured.memory:.0f}" if measured.memory else "-"


def numbers(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows for a JSON file."""
    return [{**row._asdict(), "ours": row.ours._asdict(), "theirs": row.theirs._asdict(), "ratio": row.ratio}
            for row in rows]
