# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine this is, for manifests."""

from __future__ import annotations

import socket
from typing import Optional

__all__ = ["COLLECTION_VERSION", "hostname", "machine_id"]

COLLECTION_VERSION = "0.1.0"  # the same as in galaxy.yml; a test compares them


def machine_id() -> Optional[str]:
    """The id of this installation (machine-id(5)), or None where there is none, as in many containers."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read(64).strip()
        except OSError:
            continue
        if text and text != "uninitialized":
            return text
    return None


def hostname() -> str:
    return socket.gethostname()
