# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds, pulls or builds the PostgreSQL image of the container tests.

Where a registry answers, the official image is taken. Elsewhere an equal is built from the host's own Debian suite, so
that its version is that of Debian's client on the host. ``python -m …tests.support.image.build`` prints its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ImageError", "ensure_image", "ensure_image_of"]

REPOSITORY = "pgfleet-test-postgres"
BASE_REPOSITORY = "pgfleet-base"
OFFICIAL = "postgres"
FALLBACK_MAJOR = 17  # on a host without any client, whose version would decide
SUITES = {"bookworm": 15, "trixie": 17, "forky": 18}
PULL_SECONDS = float(os.environ.get("PGFLEET_TEST_PULL_SECONDS", "120"))
BUILD_SECONDS = 900.0


class ImageError(Exception):
    """No image could be had; the text says what was tried."""


def ensure_image() -> str:
    """The name of an image on the engine: ``PGFLEET_TEST_IMAGE``, an earlier one, the official one, or our own."""
    given = os.environ.get("PGFLEET_TEST_IMAGE", "")
    if given:
        return given
    suite, suite_major = _debian()
    client_major = _client_major() or suite_major or FALLBACK_MAJOR
    with _one_at_a_time():
        for major in (client_major, suite_major):
            if major and _exists(f"{REPOSITORY}:{major}"):
                return f"{REPOSITORY}:{major}"
        if _pull(client_major):
            return f"{REPOSITORY}:{client_major}"
        if not suite_major or not shutil.which("mmdebstrap"):
            raise ImageError(
                f"the engine could not pull {OFFICIAL}:{client_major}, and building an image needs Debian "
                f"({' or '.join(SUITES)}) with mmdebstrap; set PGFLEET_TEST_IMAGE to an image like the official one"
            )
        return _build(suite, suite_major)


def ensure_image_of(major: int) -> str:
    """The name of an image with that major version: an earlier one, the official one, or one of Debian's suite."""
    image = f"{REPOSITORY}:{major}"
    with _one_at_a_time():
        if _exists(image) or _pull(major):
            return image
        suites = [suite for suite, of_suite in SUITES.items() if of_suite == major]
        if not suites or not shutil.which("mmdebstrap"):
            raise ImageError(f"the engine could not pull {OFFICIAL}:{major}, and none can be built here")
        return _build(suites[0], major)


def _debian() -> tuple[str, int]:
    """The host's own Debian suite and that suite's PostgreSQL; ``("", 0)`` elsewhere."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "", 0
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    suite = release.get("VERSION_CODENAME", "").strip('"')
    return (suite, SUITES[suite]) if release.get("ID") == "debian" and suite in SUITES else ("", 0)


def _client_major() -> int:
    """The newest client installed on the host; the image must not be newer, or its server could not be dumped."""
    majors = [path.parts[-3] for path in Path("/usr/lib/postgresql").glob("*/bin/pg_dump")]
    return max((int(major) for major in majors if major.isdigit()), default=0)


def _exists(image: str) -> bool:
    return _docker("image", "inspect", image).returncode == 0


def _pull(major: int) -> bool:
    try:
        if _docker("pull", "--quiet", f"{OFFICIAL}:{major}", seconds=PULL_SECONDS).returncode != 0:
            return False
    except subprocess.TimeoutExpired:
        return False
    return _docker("tag", f"{OFFICIAL}:{major}", f"{REPOSITORY}:{major}").returncode == 0


def _build(suite: str, major: int) -> str:
    base, image = f"{BASE_REPOSITORY}:{major}", f"{REPOSITORY}:{major}"
    if not _exists(base):
        _import_base(suite, major, base)
    done = _docker(
        "build", "--quiet", "--build-arg", f"BASE={base}", "--build-arg", f"PG_MAJOR={major}", "--tag", image,
        str(Path(__file__).resolve().parent), seconds=BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise ImageError(f"docker build failed:\n{done.stdout}{done.stderr}")
    return image


def _import_base(suite: str, major: int, base: str) -> None:
    """A minimal Debian with that suite's PostgreSQL, from mmdebstrap's output straight into the engine."""
    # A suite in the making promises news every week, which a mirror that stands still cannot keep; it is signed all the same.
    dated = '--aptopt=Acquire::Check-Valid-Until "false"'
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", dated, f"--include=postgresql-{major}", suite, "-"]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as made:
            taken = subprocess.run(
                ["docker", "import", "-", base], stdin=made.stdout, capture_output=True, text=True, check=False,
                timeout=BUILD_SECONDS,
            )
        log.seek(0)
        if made.returncode != 0 or taken.returncode != 0:
            # A base that was cut short must not be found by the next run.
            _docker("image", "rm", "--force", base)
            raise ImageError(f"mmdebstrap failed:\n{log.read().decode(errors='replace')}{taken.stderr}")


def _docker(*argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
    )


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Several test processes may want the image at once; one makes it, the others wait."""
    with open(Path(tempfile.gettempdir()) / f"pgfleet-test-image-{os.geteuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(ensure_image())
    except ImageError as error:
        sys.exit(f"No PostgreSQL image: {error}")
