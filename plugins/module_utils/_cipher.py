# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption by the program ``age``: on the way to the disk, and back on the way to a tool. Nothing lies there clear.

It is for public keys, so a host that makes backups need not be able to read them.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import ENCRYPTED_SUFFIX

if TYPE_CHECKING:
    from ansible_collections.pgfleet.backup.plugins.module_utils._packer import Packer

__all__ = ["Encryption", "check_encryption", "decrypted", "is_encrypted", "read_encryption", "read_identity_file"]

_METHOD = "age"
_MAGIC = b"age-encryption.org/"
_RECIPIENT = re.compile("age1[0-9a-z]+|ssh-(?:ed25519|rsa) [A-Za-z0-9+/=]+(?: .*)?")
_TRIAL = b"pgfleet.backup"
_INSTALL = "Install the age program on the managed host."


class Encryption(NamedTuple):
    """For whom files are encrypted: ``recipients`` are public keys, ``identity_file`` is a key's that is its own."""

    recipients: Tuple[str, ...]
    identity_file: str = ""

    def describe(self) -> Dict[str, Any]:
        """For the manifest; nothing of it is secret."""
        return {"method": _METHOD, "recipients": list(self.recipients)}

    @property
    def packer(self) -> Packer:
        """The stage that encrypts what passes it. Raises ``ENCRYPTION_UNAVAILABLE`` without the program."""
        from ansible_collections.pgfleet.backup.plugins.module_utils._packer import (  # noqa: PLC0415
            Packer,
            pack_by_program,
        )

        argv = [_program(), "--encrypt"]
        for recipient in self.recipients:
            argv += ["--recipient", recipient]
        if self.identity_file:
            argv += ["--identity", self.identity_file]
        return Packer(ENCRYPTED_SUFFIX, lambda chunks, write: pack_by_program(argv, chunks, write))


def read_encryption(params: Mapping[str, Any]) -> Optional[Encryption]:
    """The option ``encryption_recipients``; None when it is unset. Raises ``ENCRYPTION_UNAVAILABLE``.

    A blank recipient is refused: where a key was meant and did not arrive, nothing may be written in the clear.
    """
    recipients = [str(value or "").strip() for value in params.get("encryption_recipients") or ()]
    for recipient in recipients:
        if not _RECIPIENT.fullmatch(recipient):
            raise BackupError(
                "ENCRYPTION_UNAVAILABLE", "encryption_recipients holds {0!r}, which is no public key".format(
                    recipient[:12] + ("…" if recipient[12:] else "")),
                hint="Give the public keys that age-keygen prints (age1…), or SSH public keys.",
            )
    return Encryption(tuple(recipients)) if recipients else None


def read_identity_file(params: Mapping[str, Any]) -> str:
    """The option ``identity_file``, the path of a private key; empty when unset. Raises ``ENCRYPTION_UNAVAILABLE``."""
    path = str(params.get("identity_file") or "").strip()
    if not path:
        return ""
    path = os.path.abspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise BackupError(
            "ENCRYPTION_UNAVAILABLE", "identity_file {0}: {1}".format(path, error.strerror),
            hint="It is a path on the managed host, and the task's user must be able to read it.",
        ) from error
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BackupError(
            "ENCRYPTION_UNAVAILABLE", "identity_file {0} is {1}".format(
                path, "open to others" if stat.S_ISREG(mode) else "no ordinary file"),
            hint="It holds a private key: let only its owner read it (chmod 600).",
        )
    return path


def check_encryption(encryption: Encryption, identity_file: str) -> None:
    """Encrypt a few bytes, and get them back where ``identity_file`` is given, before there is anything to lose.

    Raises ``ENCRYPTION_UNAVAILABLE``.
    """
    sealed: List[bytes] = []
    try:
        encryption.packer.pack([_TRIAL], sealed.append)
    except BackupError as error:
        hint = error.hint if error.code == "ENCRYPTION_UNAVAILABLE" else None
        raise BackupError("ENCRYPTION_UNAVAILABLE", error.what, hint=hint) from error
    if identity_file and b"".join(_decrypt(sealed, identity_file, "what was encrypted for a trial")) != _TRIAL:
        raise BackupError("ENCRYPTION_UNAVAILABLE", "age does not give back what it was given")


def is_encrypted(path: str) -> bool:
    """Whether the file begins like one of age. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def decrypted(path: str, identity_file: str) -> Iterator[bytes]:
    """The clear content of a file. Raises ``ENCRYPTION_UNAVAILABLE``, and ``VERIFY_FAILED`` for one that is damaged."""
    if not identity_file:
        raise BackupError(
            "ENCRYPTION_UNAVAILABLE", "{0} is encrypted".format(path),
            hint="Set identity_file to the path, on the managed host, of the private key that fits.",
        )
    from ansible_collections.pgfleet.backup.plugins.module_utils._codec import file_chunks  # noqa: PLC0415

    return _decrypt(file_chunks(path), identity_file, path)


def _decrypt(chunks: Iterable[bytes], identity_file: str, name: str) -> Iterator[bytes]:
    from ansible_collections.pgfleet.backup.plugins.module_utils._codec import (  # noqa: PLC0415
        ProgramFailed,
        program_output,
    )

    begun = False
    try:
        for chunk in program_output([_program(), "--decrypt", "--identity", identity_file], chunks):
            begun = True
            yield chunk
    except ProgramFailed as error:
        # Until the first bytes have come, it is about the key; what age gives out it has authenticated.
        raise BackupError("VERIFY_FAILED" if begun else "ENCRYPTION_UNAVAILABLE", "{0} cannot be decrypted: {1}".format(
            name, str(error).splitlines()[0])) from error


def _program() -> str:
    found = shutil.which("age")
    if not found:
        raise BackupError("ENCRYPTION_UNAVAILABLE", "there is no age program on this host", hint=_INSTALL)
    return found
