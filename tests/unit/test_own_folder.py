# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import own_folder, sweep_own_folders

HOLDER = """
import sys
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import own_folder
with own_folder() as folder:
    open(folder + "/rows", "w").write("in the clear")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_ours_alone_and_goes_with_its_content(place: Path) -> None:
    with own_folder() as folder:
        assert Path(folder).parent == place
        assert os.stat(folder).st_mode & 0o777 == 0o700
        (Path(folder) / "rows").write_text("1")
        assert sweep_own_folders() == []
    assert list(place.iterdir()) == []


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_holds_is_not(place: Path) -> None:
    env = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen([sys.executable, "-c", HOLDER], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        folder = run.stdout.readline().strip()
        assert sweep_own_folders() == []
        run.kill()
        run.wait()
        assert os.listdir(folder) == ["rows"]
        assert sweep_own_folders() == [folder]
    assert not Path(folder).exists()


def test_nothing_else_is_touched(place: Path) -> None:
    (place / "elsewhere").mkdir(mode=0o700)
    (place / "pgfleet-tmp-link").symlink_to(place / "elsewhere")
    (place / "pgfleet-tmp-file").write_text("")
    (place / "pgfleet-tmp-open").mkdir(mode=0o755)
    (place / "pgfleet-other").mkdir(mode=0o700)
    before = sorted(place.iterdir())
    assert sweep_own_folders() == []
    if os.geteuid() == 0:
        (place / "pgfleet-tmp-theirs").mkdir(mode=0o700)
        os.chown(place / "pgfleet-tmp-theirs", 12345, 12345)
        before = sorted(place.iterdir())
        assert sweep_own_folders() == []
    assert sorted(place.iterdir()) == before


def test_one_that_is_swept_before_it_is_locked_is_made_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, left = tempfile.mkdtemp, [1, 1]

    def made_and_swept(**how: str) -> str:
        folder = make(**how)
        if left:
            left.pop()
            assert sweep_own_folders() == [folder]
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", made_and_swept)
    with own_folder() as folder:
        assert Path(folder).is_dir()
    assert left == []
