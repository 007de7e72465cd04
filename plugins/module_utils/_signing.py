# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of JSON documents: HMAC-SHA256 by one secret key, over one spelling of the document."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Dict, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["ALGORITHM", "SIGNATURE_KEYS", "SigningKey", "read_signing_key"]

ALGORITHM = "hmac-sha256"
SIGNATURE_KEYS = ("algorithm", "key_id", "value")

_SIGNATURE = "signature"
_MIN_LENGTH = 16
_KEY_ID_OF = b"pgfleet.backup signing key"  # never a document, which is JSON
_KEY_ID_LENGTH = 16
# What an editor or `echo` leaves around a key in a file; bytes beyond ASCII are the key's own.
_BLANK = " \t\r\n\f\v"


class SigningKey:
    """A key that signs documents and checks signatures. Its ``id`` names it, and tells nothing of it; so does repr."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("utf-8", "surrogateescape")
        self.id = self._digest(_KEY_ID_OF)[:_KEY_ID_LENGTH]

    def __repr__(self) -> str:
        return "SigningKey({0})".format(self.id)

    def sign(self, document: Mapping[str, Any]) -> Dict[str, str]:
        """The signature of ``document``, of which a key ``signature`` is never a part."""
        return {"algorithm": ALGORITHM, "key_id": self.id, "value": self._digest(_canonical(document))}

    def fault(self, document: Mapping[str, Any], signature: Any) -> str:
        """Why ``signature`` is not this key's of ``document``; empty when it is."""
        if signature is None:
            return "it is not signed"
        if not isinstance(signature, dict) or not all(isinstance(signature.get(key), str) for key in SIGNATURE_KEYS):
            return "its signature cannot be understood"
        if signature["algorithm"] != ALGORITHM:
            return "its signature is of an unknown kind, {0}".format(repr(signature["algorithm"])[:40])
        if signature["key_id"] != self.id:
            return "it was signed with another key ({0}, and this one is {1})".format(
                repr(signature["key_id"])[:40], self.id)
        given = signature["value"].encode("utf-8", "backslashreplace")
        try:
            right = self._digest(_canonical(document))
        except RecursionError:  # read just so, and a little too deep to be written: nothing that was ever signed
            return "it is nested too deeply"
        return "" if hmac.compare_digest(given, right.encode()) else "it was altered after it was signed"

    def _digest(self, content: bytes) -> str:
        return hmac.new(self._secret, content, hashlib.sha256).hexdigest()


def _canonical(document: Mapping[str, Any]) -> bytes:
    """One spelling for what a JSON document says, however it is written: pure ASCII, keys sorted, no spaces."""
    content = {key: value for key, value in document.items() if key != _SIGNATURE}
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def read_signing_key(params: Mapping[str, Any]) -> Optional[SigningKey]:
    """The option ``signing_key``; blank is unset. Raises ``INVALID_DB_CONFIG`` for one that could be guessed."""
    secret = str(params.get("signing_key") or "").strip(_BLANK)
    if not secret:
        return None
    if len(secret) < _MIN_LENGTH:
        raise BackupError(
            "INVALID_DB_CONFIG", "signing_key is shorter than {0} characters".format(_MIN_LENGTH),
            hint="Make a key with 'openssl rand -base64 32', and keep it in a vault, apart from the backups.",
        )
    return SigningKey(secret)
