# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the container engine: opened at the first need, once, and never for a server outside containers."""

from __future__ import annotations

from typing import List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._engine import Engine, open_engine
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import StreamBroken, ToolTimeout, pump

__all__ = ["EngineDoor"]

_FILE_LIMIT = 64 * 1024
_FILE_SECONDS = 30.0


class EngineDoor:
    """Opens the engine when somebody first asks for it, and remembers the answer."""

    def __init__(self, docker_host: str, environ: Mapping[str, str]) -> None:
        self._docker_host = docker_host
        self._environ = environ
        self._engine: Optional[Engine] = None

    @property
    def client(self) -> str:
        """``sdk`` or ``cli``; ``none`` while nobody needed the engine."""
        return self._engine.client if self._engine else "none"

    def open(self) -> Engine:
        """The engine. Raises ``ENGINE_UNAVAILABLE``."""
        if self._engine is None:
            self._engine = open_engine(self._docker_host, environ=self._environ)
        return self._engine

    def read_file(self, container: ContainerInfo, path: str) -> str:
        """A small text file inside a container. Raises ``INVALID_DB_CONFIG`` when it cannot be read."""
        content: List[bytes] = []

        def collect(chunk: bytes) -> None:
            content.append(chunk)
            if sum(map(len, content)) > _FILE_LIMIT:
                raise ValueError("it is larger than {0} bytes".format(_FILE_LIMIT))

        try:
            process = self.open().exec(container, ["cat", "--", path], env={})
            try:
                status = pump(
                    process, source=None, on_stdout=collect, on_stderr=lambda chunk: None, timeout=_FILE_SECONDS
                )
            finally:
                process.close()
            if status != 0:
                raise ValueError("it does not exist or is not readable there")
            return b"".join(content).decode("utf-8")
        except (ValueError, OSError, StreamBroken, ToolTimeout) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise BackupError(
                "INVALID_DB_CONFIG", "{0} inside container {1}: {2}".format(path, container.name, why)
            ) from error
