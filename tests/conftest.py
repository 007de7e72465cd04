# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all the tests: real servers, with and without a container engine, and real runs of modules and Ansible."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support import modules
from ansible_collections.pgfleet.backup.tests.support.cli import Ansible, CliResult
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine, connect
from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS
from ansible_collections.pgfleet.backup.tests.support.image.build import ImageError, ensure_image
from ansible_collections.pgfleet.backup.tests.support.narrow import NarrowEngine

NO_ENGINE = "needs a container engine"
NO_BROWSER = "needs a browser"
REQUIRE_BROWSER = os.environ.get("REQUIRE_BROWSER", "") not in ("", "0")
REQUIRE_ENGINE = os.environ.get("REQUIRE_ENGINE", "") not in ("", "0")

ContainerFactory = Callable[..., PostgresContainer]


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def unique_name() -> Callable[[str], str]:
    """``unique_name("net")``: a name that no other test, test process or test run uses on this machine."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    run = secrets.token_hex(3)
    numbers = itertools.count(1)
    return lambda stem: f"pgfleet-t-{worker}-{run}-{stem}-{next(numbers)}"


@pytest.fixture
def backup_dir(tmp_path: Path) -> Path:
    """A backup folder that does not exist yet; its ``../state`` is the test's own as well."""
    return tmp_path / "backups"


# -- servers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedServer]:
    """A PostgreSQL 18 on loopback, one for each test process. Tests make databases of their own in it."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="session")
def docker_engine(unique_name: Callable[[str], str]) -> Iterator[Engine]:
    """The container engine; without one the test is skipped, and fails under ``REQUIRE_ENGINE=1``."""
    found = connect(unique_name("run"))
    if isinstance(found, str):
        if REQUIRE_ENGINE:
            pytest.fail(f"REQUIRE_ENGINE is set, but {found}", pytrace=False)
        pytest.skip(f"{NO_ENGINE}: {found}")
    yield found
    found.remove_leftovers()
    found.client.close()


@pytest.fixture(scope="session")
def postgres_image(docker_engine: Engine) -> str:
    """The name of a PostgreSQL image on the engine. That none can be had is a failure, never a skip."""
    try:
        return ensure_image()
    except ImageError as error:
        pytest.fail(str(error), pytrace=False)


def _factory(engine: Engine, image: str, unique: Callable[[str], str]) -> Iterator[ContainerFactory]:
    made: list[PostgresContainer] = []

    def make(*, start: bool = True, wait: bool = True, name: str | None = None, **what: Any) -> PostgresContainer:
        container = PostgresContainer(engine, what.pop("image", image), name or unique("pg"), **what)
        made.append(container)
        return container.start(wait=wait) if start else container

    yield make
    for container in reversed(made):
        container.remove()


@pytest.fixture
def postgres_container(
    docker_engine: Engine, postgres_image: str, unique_name: Callable[[str], str]
) -> Iterator[ContainerFactory]:
    """``postgres_container(user=…, ports=…, …)`` starts a server as :class:`PostgresContainer` says.

    ``name`` and ``image`` have defaults; ``wait=False`` returns at once, ``start=False`` before it is even created.
    All of them are removed when the test ends.
    """
    yield from _factory(docker_engine, postgres_image, unique_name)


@pytest.fixture(scope="module")
def module_postgres_container(
    docker_engine: Engine, postgres_image: str, unique_name: Callable[[str], str]
) -> Iterator[ContainerFactory]:
    """The same, for servers that all the tests of a file share."""
    yield from _factory(docker_engine, postgres_image, unique_name)


@pytest.fixture
def narrow_engine(docker_engine: Engine) -> Iterator[Callable[[str], str]]:
    """``narrow_engine("label=value")``: the URL of an engine that lists no container but those with the label."""
    made: list[NarrowEngine] = []

    def make(label: str) -> str:
        made.append(NarrowEngine(label))
        return made[-1].url

    yield make
    for narrow in made:
        narrow.close()


@pytest.fixture
def docker_network(docker_engine: Engine, unique_name: Callable[[str], str]) -> Iterator[str]:
    """The name of a network of the test's own; request it before the containers that join it."""
    network = docker_engine.network(unique_name("net"))
    yield str(network.name)
    joined: Any = {"network": network.id}
    for container in docker_engine.client.containers.list(all=True, filters=joined):
        network.disconnect(container, force=True)
    network.remove()


# -- modules and Ansible --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def run_module() -> Callable[..., modules.ModuleResult]:
    """``run_module("pg_backup", {…}, check=…, diff=…, verbosity=…, env=…, cwd=…, python=…, timeout=…)``."""
    return modules.run_module


@pytest.fixture
def start_module() -> Iterator[Callable[..., modules.RunningModule]]:
    """The same without waiting for the end, to look at it or to interrupt it; ``finish()`` gives the result."""
    started: list[modules.RunningModule] = []

    def start(*args: Any, **how: Any) -> modules.RunningModule:
        started.append(modules.start_module(*args, **how))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


@pytest.fixture
def without_sdk(tmp_path: Path) -> dict[str, str]:
    """Changes to the environment of a module for which the Docker SDK for Python is then not installed."""
    folder = tmp_path / "without-sdk"
    folder.mkdir()
    (folder / "docker.py").write_text("raise ImportError('not installed')\n", encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(COLLECTIONS)])}


@pytest.fixture
def ansible(tmp_path: Path) -> Ansible:
    """The real command line in a folder of its own."""
    folder = tmp_path / "ansible"
    folder.mkdir(mode=0o700)
    return Ansible(folder)


@pytest.fixture
def ansible_adhoc(ansible: Ansible) -> Callable[..., CliResult]:
    """``ansible_adhoc("pgfleet.backup.pg_backup", "container=app", …)``: see :meth:`Ansible.adhoc`."""
    return ansible.adhoc


@pytest.fixture
def ansible_playbook(ansible: Ansible) -> Callable[..., CliResult]:
    """``ansible_playbook(path | text | plays, hosts=…, extra_vars=…, …)``: see :meth:`Ansible.playbook`."""
    return ansible.playbook


# -- the loud skip --------------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the very end how much was not tested, so that a green line is not mistaken for the whole."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    without_engine = [reason for reason in reasons if NO_ENGINE in reason]
    without_browser = [reason for reason in reasons if NO_BROWSER in reason]
    if without_engine or without_browser:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    if without_browser:
        terminalreporter.line(
            f"{len(without_browser)} tests of the report's page were SKIPPED, for there is no browser.\n"
            "Install Chromium to run them; REQUIRE_BROWSER=1 makes this a failure.",
            red=True,
        )
    if not without_engine:
        return
    why = re.sub(r"\W+$", "", without_engine[0].partition(f"{NO_ENGINE}: ")[2].partition(": ")[0])
    terminalreporter.line(
        f"{len(without_engine)} container tests were SKIPPED, for {why}.\n"
        "Start Docker or Podman's socket to run them; REQUIRE_ENGINE=1 makes this a failure.",
        red=True,
    )
