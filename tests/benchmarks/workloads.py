# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is backed up: a server in a container with one large shop in it, and later many small databases instead."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine

__all__ = ["SHOP", "Workload", "workload"]

SHOP = "shop"
# A server that keeps what it is told: the tests' own lose it for the sake of speed.
SETTINGS = ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on", "-c", "max_wal_size=4GB",
            "-c", "shared_buffers=256MB")
SMALL = """
CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL, settings jsonb);
INSERT INTO accounts SELECT n, md5(n::text), jsonb_build_object('n', n) FROM generate_series(1, 2000) n;
CREATE TABLE entries (id int PRIMARY KEY, account int REFERENCES accounts, amount numeric(10, 2));
INSERT INTO entries SELECT n, 1 + n % 2000, n / 7.0 FROM generate_series(1, 5000) n;
CREATE INDEX ON entries (account);
"""


class Workload:
    """The server, the databases that are worth a backup, and a folder for what is made of them."""

    def __init__(self, server: PostgresContainer, folder: Path, peers: Path) -> None:
        self.server = server
        self.folder = folder
        self.databases: list[str] = []
        self.major = int(server.sql("postgres", "SHOW server_version_num")[0]) // 10000
        self.client = host_client(self.major, peers)

    @property
    def environment(self) -> dict[str, str]:
        """For programs of the host: the client of the server's own version first, and nobody's home."""
        path = f"{self.client}:{os.environ['PATH']}" if self.client else os.environ["PATH"]
        return {"PATH": path, "PGPASSWORD": self.server.password, "HOME": str(self.folder)}

    def fill_shop(self, scale: int) -> int:
        """One large database; the bytes that it then has."""
        self.server.sql("postgres", f"CREATE DATABASE {SHOP}")
        script = Path(__file__).with_name("shop.sql").read_text(encoding="utf-8")
        self.server.sql(SHOP, f"\\set scale {scale}\n{script}")
        self.server.sql("postgres", "CHECKPOINT")
        self.databases = [SHOP]
        return self._bytes()

    def fill_small(self, count: int) -> int:
        """So many small ones instead of what there was; the bytes that they have together."""
        for name in self.databases:
            self.server.sql("postgres", f"DROP DATABASE {name}")
        self.databases = [f"small_{n:03}" for n in range(count)]
        self.server.sql("postgres", "CREATE DATABASE small_000")
        self.server.sql("small_000", SMALL)
        for name in self.databases[1:]:
            self.server.sql("postgres", f"CREATE DATABASE {name} TEMPLATE small_000")
        self.server.sql("postgres", "CHECKPOINT")
        return self._bytes()

    def fresh(self, database: str) -> None:
        """An empty database of that name."""
        self.drop(database)
        self.server.sql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")

    def drop(self, database: str) -> None:
        self.server.sql("postgres", f"DROP DATABASE IF EXISTS {database}")

    def _bytes(self) -> int:
        names = ", ".join(f"'{name}'" for name in self.databases)
        return int(self.server.sql(
            "postgres", f"SELECT sum(pg_database_size(datname)) FROM pg_database WHERE datname IN ({names})")[0])


def host_client(major: int, peers: Path) -> Path | None:
    """The folder of the host's client programs of that version: Debian's, or those of a wheel."""
    folders = [Path(f"/usr/lib/postgresql/{major}/bin"), *peers.glob("lib/python*/site-packages/*/pginstall/bin")]
    return next((folder for folder in folders if _major(folder / "pg_dump") == major), None)


def _major(pg_dump: Path) -> int:
    try:
        said = subprocess.run([str(pg_dump), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(said.split()[2].split(".")[0])


@contextmanager
def workload(engine: Engine, image: str, peers: Path) -> Iterator[Workload]:
    """A server and a folder for as long as the block lasts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgfleet-benchmark-")))
        server = PostgresContainer(
            engine, image, f"pgfleet-benchmark-{os.getpid()}", password="benchmark", command=SETTINGS)
        yield Workload(stack.enter_context(server), folder, peers)
