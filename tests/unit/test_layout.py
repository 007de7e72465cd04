# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _layout as layout
from hypothesis import assume, given, strategies as st

NAMES = st.text(min_size=1)
NOT_UTF8 = st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(NAMES | NOT_UTF8)
def test_every_name_comes_back_from_its_folder(name: str) -> None:
    assert layout.decode_part(layout.encode_part(name)) == name


@given(NAMES | NOT_UTF8)
def test_a_part_is_one_visible_folder_and_never_our_own(name: str) -> None:
    part = layout.encode_part(name)
    assert part
    assert not set(part) & {"/", "\0", "\n"}
    assert part[0] not in ".@"
    part.encode("utf-8")


@given(NAMES | NOT_UTF8)
def test_a_name_of_63_bytes_fits_in_a_folder_name(name: str) -> None:
    raw = (name * 63).encode("utf-8", "surrogateescape")[:63]
    assume(b"\0" not in raw)
    assert len(layout.encode_part(raw.decode("utf-8", "surrogateescape")).encode("utf-8")) < 255


@pytest.mark.parametrize("character", ["/", "%", "\n", "\x7f", "\x85", "é", "漢", "🐘", " ", '"', "'", "\udcff"])
def test_awkward_names_make_real_folders(tmp_path: Path, character: str) -> None:
    size = len(character.encode("utf-8", "surrogateescape"))
    name = character * (63 // size)
    os.mkdir(str(tmp_path / layout.encode_part(name)))
    assert [layout.decode_part(part) for part in os.listdir(str(tmp_path))] == [name]


@pytest.mark.parametrize(("name", "part"), [
    ("shop", "shop"),
    ("Größe 漢字", "Größe 漢字"),
    ("it's \"quoted\"", "it's \"quoted\""),
    ("a/b", "a%2Fb"),
    ("100%", "100%25"),
    ("%2F", "%252F"),
    (".", "%2E"),
    ("..", "%2E."),
    (".hidden", "%2Ehidden"),
    ("v1.2", "v1.2"),
    ("@globals", "%40globals"),
    ("me@home", "me@home"),
    ("a\nb\0", "a%0Ab%00"),
    ("a\x7fb\x85", "a%7Fb%C2%85"),
    ("a\n.b", "a%0A.b"),
])
def test_only_what_a_path_needs_is_encoded(name: str, part: str) -> None:
    assert layout.encode_part(name) == part


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        layout.encode_part("")


def test_a_database_named_like_the_globals_does_not_meet_them() -> None:
    assert layout.globals_dir("/b", "web/1") == "/b/web%2F1/@globals"
    assert layout.database_dir("/b", "web/1", "@globals") == "/b/web%2F1/%40globals"


def test_ids_are_in_utc_and_differ() -> None:
    now = datetime(2026, 11, 22, 0, 15, 0, tzinfo=timezone(timedelta(hours=1)))
    ids = {layout.new_set_id(now) for _time in range(20)}
    assert len(ids) > 1
    assert all(item.startswith("20261121T231500Z-") and layout.is_set_id(item) for item in ids)


@pytest.mark.parametrize("name", ["", "latest", "20261121T231500Z", "x20261121T231500Z-4f1c", "20261121T231500Z-4f1c\n"])
def test_other_names_are_no_ids(name: str) -> None:
    assert not layout.is_set_id(name)


@pytest.mark.parametrize("path", ["database.dump", "database/1.dat", "database/blobs/..x", "a b", ".x"])
def test_paths_inside(path: Any) -> None:
    assert layout.is_inside(path)


@pytest.mark.parametrize("path", ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a/./b", "a\0b"])
def test_paths_that_are_not_inside(path: Any) -> None:
    assert not layout.is_inside(path)


@pytest.mark.parametrize("backup_dir", ["/var/lib/pgfleet/backups", "/var/lib/pgfleet/backups/"])
def test_credentials_lie_beside_the_backups(backup_dir: str) -> None:
    assert layout.default_credentials_file(backup_dir) == "/var/lib/pgfleet/state/db.env"
