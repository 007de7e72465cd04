# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of our own inside a container, and the two ways for files across its wall.

``fifo`` opens the container's own files and pipes from the host: it needs root, a local engine and the same kernel.
``stream`` packs them as tar through the engine. Which program runs, and where, is the same for both.
"""

from __future__ import annotations

import os
import tarfile
import threading
from typing import AbstractSet, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._codec import reading
from ansible_collections.pgfleet.backup.plugins.module_utils._container_wall import ContainerFolder
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor, Receive
from ansible_collections.pgfleet.backup.plugins.module_utils._outgoing import Outgoing, outgoing
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import each, processors, until
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import is_full
from ansible_collections.pgfleet.backup.plugins.module_utils._tar_stream import tar_chunks

__all__ = ["FIFO", "STREAM", "Staging"]

FIFO = "fifo"
STREAM = "stream"


class Staging:
    """The folder ``place`` in the executor's container; ``wall`` is the same folder from the host, if it can be.

    ``room`` is how many bytes are free there for a dump, 0 where it could not be brought over.
    """

    def __init__(self, executor: PgExecutor, place: str, wall: Optional[ContainerFolder], room: int) -> None:
        self.place = place
        self.wall = wall
        self.room = room
        self._executor = executor
        self._count = 0

    @property
    def transport(self) -> str:
        return FIFO if self.wall else STREAM

    def make_pipe(self) -> Tuple[str, int]:
        """A new pipe: its path in the container, and a descriptor of its reading end."""
        if self.wall is None:
            raise ValueError("the container's files cannot be reached")
        name = self._new_name("pipe")
        return "{0}/{1}".format(self.place, name), self.wall.make_pipe(name)

    def collect(self, name: str, receive: Receive) -> None:
        """Hand every file of the folder ``name`` to ``receive``. Only plain files are taken: pg_dump writes no others.

        Raises the operation's own code where the container is in the way.
        """
        try:
            if self.wall:
                self._collect_through_wall(self.wall, name, receive)
            else:
                self._collect_by_tar("{0}/{1}".format(self.place, name), receive)
        except (OSError, tarfile.TarError) as error:
            raise BackupError(
                self._executor.failure, "bringing the dump out of the container broke off: {0}".format(error),
                retryable=True,
            ) from error

    def put(self, path: str, unpack: AbstractSet[str]) -> str:
        """Bring the local file or folder ``path`` in; where it is there. Raises ``NO_SPACE``, or as :meth:`collect`."""
        name = self._new_name("in")
        place = "{0}/{1}".format(self.place, name)
        if self.wall is None:
            # A tar on a full disk says so itself.
            self._executor.run("tar", ["-xf", "-", "-C", self.place], source=tar_chunks(path, name=name, unpack=unpack))
            return place
        try:
            if os.path.isdir(path):
                self._put_folder(self.wall, name, path, unpack)
            else:
                self.wall.write(name, Outgoing(name, path, "none").chunks())
        except OSError as error:
            code = "NO_SPACE" if is_full(error) else self._executor.failure
            raise BackupError(code, "{0} in the container: {1}".format(place, error.strerror)) from error
        return place

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return "{0}-{1}".format(kind, self._count)

    def _put_folder(self, wall: ContainerFolder, name: str, path: str, unpack: AbstractSet[str]) -> None:
        folder = wall.make_inner(name)

        def put(file: Outgoing, stop: threading.Event) -> None:
            folder.write(file.name, self._executor.in_time("bringing the backup in", until(stop, file.chunks())))

        try:
            each(outgoing(path, unpack=unpack), put, threads=processors())
        finally:
            folder.close()

    def _collect_through_wall(self, wall: ContainerFolder, name: str, receive: Receive) -> None:
        folder = wall.inner(name)

        def take(found: Tuple[str, int], stop: threading.Event) -> None:
            inner, size = found
            receive(inner, size, self._executor.in_time("bringing the dump out", until(stop, folder.read(inner))))
            folder.remove(inner)  # so that the container needs no room for it any more

        try:
            each(sorted(folder.files(), key=lambda found: -found[1]), take, threads=processors())
        finally:
            folder.close()

    def _collect_by_tar(self, folder: str, receive: Receive) -> None:
        with self._executor.stream("tar", ["-cf", "-", "-C", folder, "."], announce=False) as chunks:
            with tarfile.open(fileobj=reading(chunks), mode="r|") as archive:
                for member in archive:
                    if member.name in (".", "./") and member.isdir():
                        continue
                    name = member.name[2:] if member.name.startswith("./") else member.name
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None or "/" in name or name in ("", ".", ".."):
                        raise tarfile.TarError("it holds {0!r}, which is not pg_dump's".format(member.name))
                    receive(name, member.size, iter(lambda file=content: file.read(1 << 20), b""))  # type: ignore[misc]
            for _chunk in chunks:  # past tar's padding, to the exit status
                pass
