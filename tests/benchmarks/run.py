# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make benchmark``: our backup and restore beside the raw commands and what others use, as ratios of one run.

Times of different machines or days say little; the ratios of one run do. Every measurement is made several times, and
the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.benchmarks.fixed import fixed_cost
from ansible_collections.pgfleet.backup.tests.benchmarks.ours import Ours
from ansible_collections.pgfleet.backup.tests.benchmarks.peers import CommunityPostgresql, all_peers
from ansible_collections.pgfleet.backup.tests.benchmarks.raw import Raw
from ansible_collections.pgfleet.backup.tests.benchmarks.table import Row, head, line, numbers
from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, median
from ansible_collections.pgfleet.backup.tests.benchmarks.workloads import SHOP, Workload, workload
from ansible_collections.pgfleet.backup.tests.support.engine import Engine, connect
from ansible_collections.pgfleet.backup.tests.support.image.build import ImageError, ensure_image, ensure_image_of

MAJORS = (15, 17)


class Comparisons:
    """Everything that is compared on one server."""

    def __init__(self, work: Workload, venv: Path, times: int) -> None:
        self.work = work
        self.ours = Ours(work)
        self.raw = Raw(work)
        self.times = times
        self.newer = work.major >= 16  # whose clients have zstd
        self.peers = []
        for peer in all_peers(work, venv):
            missing = peer.absent() or ("" if work.client else f"the host has no client of PostgreSQL {work.major}")
            if missing:
                print(f"{peer.name} is left out: {missing}")
            else:
                self.peers.append(peer)

    def one_large(self) -> Iterator[Row]:
        """Backups and restores of the shop."""
        usual, dumped = "docker exec pg_dump -Fc > file", self._median(self.raw.docker_dump)
        backup = self._median(self.ours.backup)
        yield Row("container backup, default options", usual, backup, dumped, 0.40 if self.newer else 0.55)
        checked = self._median(partial(self.ours.backup, verify="checksum"))
        yield Row("the same, verify: checksum", usual, checked, dumped, 0.28 if self.newer else 0.36)
        clear = self._median(partial(self.ours.backup, compression="none"))
        yield Row("the same, compression: none", "pg_dump -Fc -Z0 -f /tmp/x inside", clear, self._median(self.raw.limit), 1.10)
        for peer in self.peers:
            aim = (0.40 if self.newer else 0.55) if isinstance(peer, CommunityPostgresql) else None
            yield from self._beside("container backup, default options", peer.name, backup, partial(peer.dump, [SHOP]), aim)
        self.ours.backup()  # the newest set is one of default options again
        restore = self._median(self.ours.restore)
        yield Row("container restore, default options", "docker exec -i pg_restore < file", restore,
                  self._median(self.raw.docker_restore), 0.65 if self.newer else 0.75)
        for peer in self.peers:
            if isinstance(peer, CommunityPostgresql):
                yield from self._beside("container restore, default options", f"{peer.name} restore", restore, peer.restore, None)
        if self.work.client:
            outside = self._median(partial(self.ours.backup, outside=True))
            yield Row("host backup, default options", "pg_dump -Fc > file", outside, self._median(self.raw.host_dump), 0.50)
            yield Row("host restore, default options", "pg_restore -d db file",
                      self._median(partial(self.ours.restore, outside=True)), self._median(self.raw.host_restore))

    def little(self) -> Iterator[Row]:
        """Tasks that have little or nothing to do."""
        community = next((peer for peer in self.peers if isinstance(peer, CommunityPostgresql)), None)
        yield from fixed_cost(self.work, community, self.times)

    def many_small(self) -> Iterator[Row]:
        """All databases of a server with many of them, the cluster's roles included in ours."""
        ours, what = self._median(self.ours.backup_all), f"{len(self.work.databases)} small databases, all_databases"
        yield Row(what, "docker exec pg_dump -Fc, each", ours, self._median(self.raw.docker_dump_all))
        for peer in self.peers:
            yield from self._beside(what, peer.name, ours, partial(peer.dump, self.work.databases), None)

    def _beside(
        self, what: str, name: str, ours: Measured, theirs: Callable[[], Measured], aim: float | None
    ) -> Iterator[Row]:
        try:
            yield Row(what, name, ours, self._median(theirs), aim)
        except (RuntimeError, OSError) as error:
            print(f"{name} is left out: it failed: {error}")

    def _median(self, run: Callable[[], Measured]) -> Measured:
        return median(run, self.times)


def measure(engine: Engine, image: str, wish: argparse.Namespace) -> dict[str, Any]:
    """Everything on one server of that image, printed as it comes; the numbers for the JSON file."""
    rows = []
    with workload(engine, image, wish.peers) as work:
        few = work.fill_shop(1)
        small = Ours(work).backup()
        work.drop(SHOP)
        size = work.fill_shop(wish.scale)
        print(f"\nPostgreSQL {work.major}, one database of {size / 2**20:.0f} MiB; {json.dumps(machine())}\n{head()}")
        compared = Comparisons(work, wish.peers, wish.times)
        for row in chain(compared.one_large(), compared.little()):
            rows.append(row)
            print(line(row), flush=True)
        large = rows[0].ours
        print(f"peak memory of the module: {small.memory:.0f} MiB for a database of {few / 2**20:.0f} MiB, "
              f"{large.memory:.0f} MiB for one of {size / 2**20:.0f} MiB")
        if wish.small:
            together = work.fill_small(wish.small)
            print(f"{wish.small} databases, {together / 2**20:.0f} MiB together")
            for row in compared.many_small():
                rows.append(row)
                print(line(row), flush=True)
        return {"postgresql": work.major, "bytes": size, "rows": numbers(rows), "memory": {
            "bytes": [few, size], "mib": [small.memory, large.memory]}}


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processors": os.cpu_count(), "memory_gib": round(memory / 2**30, 1), "system": platform.platform(),
            "python": platform.python_version(), "zstd": bool(shutil.which("zstd"))}


def images(given: list[str]) -> list[str]:
    """Those asked for, else one of each version that can be had."""
    found = list(given)
    for major in () if given else MAJORS:
        try:
            found.append(ensure_image_of(major))
        except ImageError as error:
            print(f"PostgreSQL {major} is left out: {error}")
    return found or [ensure_image()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make benchmark", description=__doc__)
    parser.add_argument("--scale", type=int, default=100, help="100 is about 1 GB")
    parser.add_argument("--small", type=int, default=100, metavar="N", help="how many small databases; 0 leaves them out")
    parser.add_argument("--times", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--image", action="append", default=[], help="a PostgreSQL image; given twice, both are measured")
    parser.add_argument("--peers", type=Path, default=Path("/nonexistent"), help="where requirements.txt was installed")
    parser.add_argument("--json", type=Path, help="where the numbers are written as well")
    wish = parser.parse_args()
    engine = connect(f"benchmark-{os.getpid()}")
    if isinstance(engine, str):
        print(f"make benchmark needs a container engine: {engine}", file=sys.stderr)
        return 1
    runs = [measure(engine, image, wish) for image in images(wish.image)]
    if wish.json:
        wish.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
