# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine as the tests see it: is it there, and which processes were started inside containers."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import DockerException
from docker.models.networks import Network

__all__ = ["LABEL", "SESSION_LABEL", "Engine", "ExecWatch", "connect"]

# On everything the tests make on the engine; its value is the name of the run that made it.
LABEL = "pgfleet.test"

# The same for all the test processes of one call, for whoever wants to look after them: see .ci/run.
SESSION_LABEL = "pgfleet.test.session"

# The engine's events come a moment after what they tell of.
EVENTS_SETTLE_SECONDS = 0.3


@dataclass
class ExecWatch:
    """The processes that were created inside containers while it watched: (container's name, command line)."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def in_container(self, name: str) -> list[str]:
        """The command lines created in that container."""
        return [command for container, command in self.seen if container == name]


class Engine:
    """A reachable engine. ``run`` marks what this test process makes, so that it removes nothing of another's."""

    def __init__(self, client: docker.DockerClient, run: str) -> None:
        self.client = client
        self.run = run

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.run, SESSION_LABEL: os.environ.get("PGFLEET_TEST_SESSION", "")}

    def network(self, name: str, **options: Any) -> Network:
        """A network of the tests' own; ``remove_leftovers`` takes it away if the test does not."""
        return self.client.networks.create(name, labels=self.labels, **options)

    @contextmanager
    def watch_execs(self) -> Iterator[ExecWatch]:
        """Record every exec created in any container meanwhile.

        The engine is listened to, not asked afterwards: it remembers 256 events only, and tests run in parallel.
        """
        watch = ExecWatch()
        stream = self.client.api.events(filters={"type": "container", "event": "exec_create"}, decode=True)

        def listen() -> None:
            # Closing the stream from outside ends the loop with whichever error the transport thinks fit.
            try:
                for event in stream:
                    command = event["Action"].partition(":")[2].strip()
                    watch.seen.append((event["Actor"]["Attributes"].get("name", ""), command))
            except Exception:  # noqa: BLE001
                return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        time.sleep(EVENTS_SETTLE_SECONDS)
        try:
            yield watch
        finally:
            time.sleep(EVENTS_SETTLE_SECONDS)
            stream.close()
            listener.join(5)

    def count_execs(self, action: Callable[[], object], container: str | None = None) -> int:
        """How many execs were created while ``action`` ran: in one container, or in any."""
        with self.watch_execs() as watch:
            action()
        return len(watch.seen if container is None else watch.in_container(container))

    def remove_leftovers(self) -> None:
        """Remove what this run made and a test did not remove, after a crash for example."""
        mine: Any = {"label": f"{LABEL}={self.run}"}
        for container in self.client.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for network in self.client.networks.list(filters=mine):
            network.remove()


def connect(run: str) -> Engine | str:
    """The engine, or the reason why there is none to use."""
    if shutil.which("docker") is None:
        return "the docker command is not on PATH"
    # A client that reaches nobody leaves its socket to the garbage collector, which must not fail a later test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=60)
            client.ping()
        except (DockerException, OSError) as error:
            reason = f"no container engine answered: {error}"
        else:
            return Engine(client, run)
        gc.collect()
    return reason
