# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security labels need a provider, and none is packaged: one is made, where there is a compiler and the server's headers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer

__all__ = ["let_labels_be"]

SOURCE = Path(__file__).with_name("labels.c")


def let_labels_be(server: EmbeddedServer) -> None:
    """Every session from now on knows the provider ``fidelity``, if it can be made for this server."""
    compiler = shutil.which("cc")
    headers = server.bin_dir.parent / "include" / "server"
    if compiler is None or not (headers / "postgres.h").exists():
        return
    library = server.base / "labels.so"
    argv = [compiler, "-shared", "-fPIC", "-I", str(headers), "-I", str(headers.parent), "-o", str(library), str(SOURCE)]
    subprocess.run(argv, check=True)
    library.chmod(0o755)
    server.sql("postgres", f"ALTER ROLE ALL SET session_preload_libraries = '{library}'")
