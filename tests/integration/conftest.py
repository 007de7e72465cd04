# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run the modules on a server of the host."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.fidelity.corpus import (
    create_corpus,
    drop_corpus,
    features_of,
    prepare_server,
)
from ansible_collections.pgfleet.backup.tests.fidelity.labels import let_labels_be
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted

_NUMBERS = itertools.count(1)


@pytest.fixture
def role(embedded_server: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """``role("LOGIN")``: a new role with these attributes, until the test ends."""
    made: list[str] = []

    def make(attributes: str = "") -> str:
        name = "r{0}".format(next(_NUMBERS))
        embedded_server.sql("postgres", "CREATE ROLE {0} {1}".format(name, attributes))
        made.append(name)
        return name

    yield make
    for name in made:
        embedded_server.sql("postgres", "DROP ROLE IF EXISTS {0}".format(name))


@pytest.fixture
def local(embedded_server: EmbeddedServer, backup_dir: Path, role: Callable[..., str]) -> Iterator[Local]:
    """The modules on the embedded server. Databases that the test makes go when it ends, and then its roles."""
    del role  # asked for, so that it ends later
    here = Local(embedded_server, backup_dir)
    before = set(here.databases())
    yield here
    for database in set(here.databases()) - before:
        embedded_server.sql("postgres", "DROP DATABASE IF EXISTS {0} WITH (FORCE)".format(quoted(database)))


@pytest.fixture
def drilling_alone() -> Iterator[None]:
    """No other test drills in a container meanwhile: who does sweeps what other drills left, and tests leave things."""
    with open(Path(tempfile.gettempdir()) / f"pgfleet-test-drills-{os.geteuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def database(local: Local) -> str:
    """A database with a little in it."""
    return local.create("d{0}".format(next(_NUMBERS)))


@pytest.fixture(scope="session")
def corpus(embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """The modules on the embedded server, which has a database ``corpus``. It is shared: no test may change it."""
    let_labels_be(embedded_server)
    prepare_server(embedded_server)
    create_corpus(embedded_server, "corpus", features_of(embedded_server))
    yield Local(embedded_server, tmp_path_factory.mktemp("corpus") / "backups")
    drop_corpus(embedded_server, "corpus")
