# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder behind a container's wall: what is hostile in it leads nowhere.

The wall is our own process's root, so that every trick can be laid out; real containers are in the integration tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._container_wall import ContainerFolder, open_folder

PROOF = b"0123456789abcdef"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another process's root is for root only")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "staged"
    folder.mkdir(mode=0o700)
    (folder / ".proof").write_bytes(PROOF)
    return folder


@pytest.fixture
def wall(place: Path) -> Iterator[ContainerFolder]:
    folder = open_folder(os.getpid(), str(place), proof=PROOF)
    assert folder is not None
    yield folder
    folder.close()


def test_files_go_both_ways(place: Path, wall: ContainerFolder) -> None:
    inner = wall.make_inner("in")
    inner.write("a", [b"one", b"two"])
    assert (place / "in" / "a").read_bytes() == b"onetwo"
    assert (place / "in").stat().st_mode & 0o777 == 0o700
    assert (place / "in" / "a").stat().st_mode & 0o777 == 0o600
    assert inner.files() == [("a", 6)]
    assert b"".join(inner.read("a")) == b"onetwo"
    inner.remove("a")
    assert inner.files() == []
    inner.close()


@pytest.mark.parametrize("proof", [b"", b"fedcba9876543210", PROOF + b"x"])
def test_a_folder_without_the_proof_is_not_it(place: Path, proof: bytes) -> None:
    assert open_folder(os.getpid(), str(place), proof=proof) is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 5])
def test_there_must_be_a_process(place: Path, pid: int) -> None:
    assert open_folder(pid, str(place), proof=PROOF) is None


def test_no_part_of_the_path_may_be_a_link(place: Path) -> None:
    (place.parent / "link").symlink_to(place.parent)
    assert open_folder(os.getpid(), str(place.parent / "link" / "staged"), proof=PROOF) is None
    (place.parent / "last").symlink_to(place)
    assert open_folder(os.getpid(), str(place.parent / "last"), proof=PROOF) is None


def test_the_proof_may_not_be_a_link(place: Path) -> None:
    (place / ".proof").rename(place.parent / "elsewhere")
    (place / ".proof").symlink_to(place.parent / "elsewhere")
    assert open_folder(os.getpid(), str(place), proof=PROOF) is None


def test_only_plain_files_of_the_same_owner_are_read(place: Path, wall: ContainerFolder) -> None:
    secret = place.parent / "secret"
    secret.write_text("of the host")
    (place / "link").symlink_to(secret)
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    os.mknod(place / "device", 0o600 | 0o020000, os.makedev(1, 5))
    (place / "foreign").write_text("x")
    os.chown(place / "foreign", 12345, 12345)
    for name in ("link", "folder", "pipe", "device", "foreign"):
        with pytest.raises(OSError, match="not what was made|Too many levels|symbolic"):
            list(wall.read(name))
    assert {name for name, _size in wall.files()} == {"link", "folder", "pipe", "device", "foreign"}


def test_nothing_is_written_through_what_is_there_already(place: Path, wall: ContainerFolder) -> None:
    target = place.parent / "target"
    (place / "planted").symlink_to(target)
    (place / "linked").symlink_to(place.parent)
    with pytest.raises(FileExistsError):
        wall.write("planted", [b"x"])
    with pytest.raises(FileExistsError):
        wall.make_pipe("planted")
    with pytest.raises(FileExistsError):
        wall.make_inner("linked")
    with pytest.raises(OSError, match="Not a directory|symbolic"):
        wall.inner("linked")
    assert not target.exists()


def test_a_pipe_is_read_from_outside(place: Path, wall: ContainerFolder) -> None:
    descriptor = wall.make_pipe("pipe")
    with open(place / "pipe", "wb", buffering=0) as writer:
        writer.write(b"through the wall")
        assert os.read(descriptor, 100) == b"through the wall"
    assert os.read(descriptor, 100) == b""
    os.close(descriptor)
