# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make benchmark``: our backup and restore beside the raw commands, in one run on one machine, as ratios.

Times of different machines or days say little; the ratios of one run do. Every measurement runs several times in turn
with the others, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pgfleet.backup.tests.benchmarks.fixed import fixed_cost
from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, command, median, module
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine, connect
from ansible_collections.pgfleet.backup.tests.support.image.build import ensure_image

DATABASE = "shop"
SETTINGS = ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on", "-c", "max_wal_size=4GB",
            "-c", "shared_buffers=256MB")


class Row(NamedTuple):
    """One comparison: ours against the usual way, and how much of its time ours may take (None: only shown)."""

    work: str
    usual: str
    ours: Measured
    theirs: Measured
    most: float | None

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.theirs.seconds


class Bench:
    """A server in a container with the shop in it, and every way to dump and restore it."""

    def __init__(self, server: PostgresContainer, folder: Path, times: int) -> None:
        self.server = server
        self.folder = folder
        self.times = times
        self.major = int(server.sql("postgres", "SHOW server_version_num")[0]) // 10000

    def fill(self, scale: int) -> int:
        """Fill the shop; the bytes that it then has."""
        self.server.sql("postgres", f"CREATE DATABASE {DATABASE}")
        script = Path(__file__).with_name("shop.sql").read_text(encoding="utf-8")
        self.server.sql(DATABASE, f"\\set scale {scale}\n{script}")
        self.server.sql("postgres", "CHECKPOINT")
        return int(self.server.sql(DATABASE, f"SELECT pg_database_size('{DATABASE}')")[0])

    # -- the usual ways

    def docker_dump(self, *switches: str) -> Measured:
        target = self.folder / "usual.dump"
        argv = ["docker", "exec", self.server.id, "pg_dump", "-U", "postgres", "-Fc", *switches, DATABASE]
        return command(argv, output=target)

    def limit(self) -> Measured:
        argv = ["docker", "exec", self.server.id, "pg_dump", "-U", "postgres", "-Fc", "-Z0", "-f", "/tmp/x", DATABASE]
        return command(argv)

    def host_dump(self) -> Measured:
        argv = ["pg_dump", "-h", self.server.ip, "-U", "postgres", "-Fc", DATABASE]
        return command(argv, output=self.folder / "host.dump", env={"PGPASSWORD": self.server.password})

    def docker_restore(self) -> Measured:
        self._fresh("usual")
        argv = ["docker", "exec", "-i", self.server.id, "pg_restore", "-U", "postgres", "-d", "usual"]
        return command(argv, source=self.folder / "usual.dump")

    # -- ours

    def backup(self, **options: Any) -> Measured:
        measured, _result = module("pg_backup", self._wish(options))
        return measured

    def external_backup(self) -> Measured:
        way = {"container": "", "login_host": self.server.ip, "login_password": self.server.password}
        return self.backup(**way, instance="outside")

    def restore(self) -> Measured:
        self.server.sql("postgres", "DROP DATABASE IF EXISTS ours")
        measured, _result = module("pg_restore", self._wish({"strategy": "create", "target_database": "ours"}))
        return measured

    def _wish(self, options: dict[str, Any]) -> dict[str, Any]:
        last = {"retention": {"keep_last": 1}} if "strategy" not in options else {}
        return {"container": self.server.name, "database": DATABASE, "backup_dir": self.folder / "sets", **last, **options}

    def _fresh(self, database: str) -> None:
        self.server.sql("postgres", f"DROP DATABASE IF EXISTS {database}")
        self.server.sql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")

    # -- side by side

    def compare(self) -> Iterator[Row]:
        newer = self.major >= 16
        raw = self._median(self.docker_dump)
        name = "docker exec pg_dump -Fc > file"
        yield Row("container backup, default options", name, self._median(self.backup), raw, 0.40 if newer else 0.55)
        checked = self._median(lambda: self.backup(verify="checksum"))
        yield Row("the same, verify: checksum", name, checked, raw, 0.28 if newer else 0.36)
        yield Row("container backup, compression: none", "pg_dump -Fc -Z0 -f /tmp/x inside",
                  self._median(lambda: self.backup(compression="none")), self._median(self.limit), 1.10)
        self.server.shell("rm", "-f", "/tmp/x")
        if self._host_client_fits():
            yield Row("host backup, default options", "pg_dump -Fc > file",
                      self._median(self.external_backup), self._median(self.host_dump), 0.50)
        self.backup()
        yield Row("container restore, default options", "docker exec -i pg_restore < file",
                  self._median(self.restore), self._median(self.docker_restore), 0.65 if newer else 0.75)
        yield from (Row(*compared) for compared in fixed_cost(self.server, self.folder, self.times))

    def _median(self, run: Callable[[], Measured]) -> Measured:
        return median(run, self.times)

    def _host_client_fits(self) -> bool:
        return Path(f"/usr/lib/postgresql/{self.major}/bin/pg_dump").exists()


@contextmanager
def bench(engine: Engine, image: str, times: int) -> Iterator[Bench]:
    """A server and a folder for as long as the block lasts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgfleet-benchmark-")))
        name = f"pgfleet-benchmark-{os.getpid()}"
        server = PostgresContainer(engine, image, name, command=SETTINGS)
        yield Bench(stack.enter_context(server), folder, times)


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processors": os.cpu_count(), "memory_gib": round(memory / 2**30, 1), "system": platform.platform(),
            "python": platform.python_version(), "zstd": bool(shutil.which("zstd"))}


def show(rows: list[Row]) -> None:
    """The table, worst last to be seen first."""
    print(f"{'work':<38} {'against':<34} {'ours':>8} {'theirs':>8} {'ratio':>6} {'aim':>5} {'size':>6} {'MiB':>5}")
    for row in rows:
        size = f"{row.ours.size / row.theirs.size:.2f}" if row.ours.size and row.theirs.size else ""
        aim = "" if row.most is None else f"{row.most:.2f}"
        late = "" if row.most is None or row.ratio <= row.most else "  missed"
        print(f"{row.work:<38} {row.usual:<34} {row.ours.seconds:>7.2f}s {row.theirs.seconds:>7.2f}s "
              f"{row.ratio:>6.2f} {aim:>5} {size:>6} {row.ours.memory:>5.0f}{late}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make benchmark", description=__doc__)
    parser.add_argument("--scale", type=int, default=100, help="100 is about 1 GB")
    parser.add_argument("--times", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--image", help="a PostgreSQL image; found or built when it is not given")
    parser.add_argument("--json", type=Path, help="where the numbers are written as well")
    wish = parser.parse_args()
    engine = connect(f"benchmark-{os.getpid()}")
    if isinstance(engine, str):
        print(f"make benchmark needs a container engine: {engine}", file=sys.stderr)
        return 1
    with bench(engine, wish.image or ensure_image(), wish.times) as work:
        size = work.fill(wish.scale)
        print(f"PostgreSQL {work.major}, {size / 2**20:.0f} MiB, {json.dumps(machine())}")
        rows = []
        for row in work.compare():
            rows.append(row)
            show(rows[-1:])
        print()
        show(rows)
    if wish.json:
        numbers = [{**row._asdict(), "ours": row.ours._asdict(), "theirs": row.theirs._asdict(), "ratio": row.ratio}
                   for row in rows]
        wish.json.write_text(json.dumps({"machine": machine(), "postgresql": work.major, "bytes": size,
                                         "rows": numbers}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
