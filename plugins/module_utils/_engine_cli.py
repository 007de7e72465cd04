# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine through its command, ``docker`` or ``podman``, where the Docker SDK is not installed."""

from __future__ import annotations

import json
import os
import time
from typing import Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._engine import (
    Engine,
    ambiguous,
    clean_name,
    gone,
    no_image,
    not_running,
    one_line,
    says_ambiguous,
    says_not_started,
    unavailable,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_inspect import container_from_inspect
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    STDERR,
    STDOUT,
    PopenProcess,
    StreamBroken,
    ToolProcess,
    ToolTimeout,
    pump,
)

__all__ = ["CliEngine", "CliProcess"]

_ANSWER_TIMEOUT = 60.0
_NOT_STARTED_GRACE = 2.0
_LAST_WORDS = 4096

# With these exit statuses, and when it says so, it is the command that failed; how the tool ended is then not known.
_CLIENT_FAILED = {
    1: ("Error response from daemon", "Cannot connect to the Docker daemon", "error during connect"),
    125: ("Error: ",),
    255: ("Error response from daemon", "Cannot connect to the Docker daemon", "error during connect"),
}


class _Answer(NamedTuple):
    status: int
    stdout: str
    stderr: str


class CliEngine(Engine):
    """Every call is a run of the command. Lists of arguments only, and no value of a variable among them."""

    client = "cli"

    def __init__(self, program: str, *, host: str, environ: Mapping[str, str]) -> None:
        """``program``: the command's path. ``host``: the engine's URL, empty for what the command itself chooses."""
        flag = "--url" if os.path.basename(program) == "podman" else "--host"
        self._command = [program] + ([flag, host] if host else [])
        self._where = host or program
        self._environ = dict(environ)

    @classmethod
    def open(cls, program: str, *, host: str, environ: Mapping[str, str]) -> CliEngine:
        """As the constructor, for an engine that has answered; raises ENGINE_UNAVAILABLE when it does not."""
        engine = cls(program, host=host, environ=environ)
        engine._ids()
        return engine

    def containers(self) -> List[ContainerInfo]:
        ids = self._ids("--all")
        return sorted(self._inspect(*ids), key=lambda container: container.name) if ids else []

    def inspect(self, name_or_id: str) -> Optional[ContainerInfo]:
        name = clean_name(name_or_id)
        found = self._inspect(name) if name else []
        return found[0] if found else None

    def exec(
        self,
        container: ContainerInfo,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bool = False,
        user: str = "",
    ) -> ToolProcess:
        # The command tells neither failure by an exit status of its own, so look first.
        now = self.inspect(container.id)
        if now is None:
            raise gone(container)
        if not now.running or now.state == "paused":
            raise not_running(container, now.state)
        command = self._command + ["exec"]
        if stdin:
            command.append("--interactive")
        if user:
            command.append("--user=" + user)
        for name in env:
            command += ["--env", name]  # by name: the value would be for everyone on the host to read
        try:
            return CliProcess(command + [container.id] + list(argv), env=dict(self._environ, **env), stdin=stdin)
        except OSError as error:
            raise unavailable(self._where, str(error)) from error

    def run_throwaway(self, image: str, *, env: Mapping[str, str], labels: Mapping[str, str]) -> ContainerInfo:
        options = ["--detach", "--rm", "--network=none", "--pull=never"]
        for name in env:
            options += ["--env", name]
        options += ["--label={0}={1}".format(name, value) for name, value in labels.items()]
        answer = self._ask("run", *options, "--", image, env=env)
        complaint = answer.stderr.lower()
        if answer.status and ("no such image" in complaint or "image not known" in complaint):
            raise no_image(image)
        if answer.status:
            raise unavailable(self._where, answer.stderr)
        found = self.inspect(answer.stdout.strip())
        if found is None:
            raise BackupError("CONTAINER_NOT_RUNNING", "a container of {0} ended at once".format(image))
        return found

    def remove(self, container: ContainerInfo) -> None:
        answer = self._ask("rm", "--force", "--volumes", container.id)
        complaint = answer.stderr.lower()
        if answer.status and "no such container" not in complaint and "already in progress" not in complaint:
            raise unavailable(self._where, answer.stderr)

    def close(self) -> None:
        """Nothing is kept open between two runs of the command."""

    def _ids(self, *options: str) -> List[str]:
        answer = self._ask("ps", "--quiet", "--no-trunc", *options)
        if answer.status:
            raise unavailable(self._where, answer.stderr)
        return answer.stdout.split()

    def _inspect(self, *names: str) -> List[ContainerInfo]:
        """Those of ``names`` that exist; the command lists them also when it fails for the others."""
        answer = self._ask("inspect", "--type", "container", "--", *names)
        if says_ambiguous(answer.stderr):
            raise ambiguous(names[0])
        if answer.status and "no such container" not in answer.stderr.lower():
            raise unavailable(self._where, answer.stderr)
        try:
            return [container_from_inspect(data) for data in json.loads(answer.stdout or "[]")]
        except ValueError as error:
            raise unavailable(self._where, "what it says of its containers is not JSON") from error

    def _ask(self, *arguments: str, env: Optional[Mapping[str, str]] = None) -> _Answer:
        """One short question. Raises ENGINE_UNAVAILABLE when the command cannot be started or does not return."""
        stdout: List[bytes] = []
        stderr: List[bytes] = []
        try:
            process = PopenProcess(self._command + list(arguments), env=dict(self._environ, **(env or {})))
        except OSError as error:
            raise unavailable(self._where, str(error)) from error
        try:
            status = pump(
                process, source=None, on_stdout=stdout.append, on_stderr=stderr.append, timeout=_ANSWER_TIMEOUT
            )
        except ToolTimeout as error:
            raise unavailable(self._where, "no answer within {0:.0f} seconds".format(_ANSWER_TIMEOUT)) from error
        finally:
            process.kill()
            process.close()
        return _Answer(status, _decode(b"".join(stdout)), _decode(b"".join(stderr)))


class CliProcess(PopenProcess):
    """``docker exec``, a mere connection: to end it is not to end the tool, which runs on with its streams closed."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> None:
        super().__init__(argv, env=env, stdin=stdin)
        self._heard = False
        self._last_words = b""

    def frames(self, deadline: Optional[float]) -> Iterator[Tuple[int, bytes]]:
        for stream, chunk in super().frames(deadline):
            if self._is_output(stream, chunk):
                yield STDOUT, chunk
            else:
                self._last_words = (self._last_words + chunk)[-_LAST_WORDS:]
                yield STDERR, chunk

    def _is_output(self, stream: int, chunk: bytes) -> bool:
        if stream == STDOUT and not self._heard:
            self._heard = True
            return not (says_not_started(chunk) and self._has_not_started())
        return stream == STDOUT

    def _has_not_started(self) -> bool:
        try:
            return super().wait(time.monotonic() + _NOT_STARTED_GRACE) in (126, 127)
        except ToolTimeout:
            return False

    def wait(self, deadline: Optional[float] = None) -> int:
        status = super().wait(deadline)
        beginnings = _CLIENT_FAILED.get(status)
        if beginnings:
            for line in _decode(self._last_words).splitlines():
                if line.startswith(beginnings):
                    raise StreamBroken("the engine's command failed: {0}".format(one_line(line)))
        return status

    def _release(self) -> None:
        self.kill()
        super()._release()


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")
