# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""RESTORE.md: how to restore one set by hand, without this collection, by commands that can be pasted."""

from __future__ import annotations

import shlex
from typing import Any, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    DUMP_CUSTOM,
    DUMP_FOLDER,
    DUMP_PLAIN,
    DUMP_TAR,
    ENCRYPTED_SUFFIX,
    GLOBALS_FILE,
    MANIFEST_FILE,
    PLAIN_SUFFIXES,
    PROPERTIES_SCRIPT,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import apply_statements, create_statement
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import conninfo

__all__ = ["globals_restore_md", "restore_md"]

_INTRO = """# How to restore this backup by hand

Database `{database}` of PostgreSQL {server_version}, as it was on {created} (UTC).
Made by pg_dump {client_version}; use the client tools of that major version or a newer one.

Run the commands in this folder, one block after the other. Say first which server to restore to, as a role that may
create databases and roles there (`PGPASSWORD` or `~/.pgpass` for the password):

    export PGHOST=... PGPORT=5432 PGUSER=postgres

For a server in a container, copy this folder into the container (`docker cp . NAME:/tmp/restore`), and run the
commands there (`docker exec -it -w /tmp/restore NAME sh`).

First see that nothing was damaged, by the checksums in `manifest.json`. Every line must end in `OK`:

"""
# Of each file the path and then the checksum, on lines of their own.
_COMPARE = """awk -F '"' '$2 == "path" {{ path = $4 }} $2 == "sha256" {{ print $4 "  " path }}' {0} | sha256sum -c"""

_SIGNATURE = """## Signature

This backup is signed. To see that nobody altered it, you need the signing key in a file that only you can read, and
python3. This page lies with what it speaks of: whoever could alter the backup could alter the page, so take the same
commands from the documentation of the collection (Backup sets, Signing) where you have it.

    export SIGNING_KEY_FILE=...

```sh
python3 - <<'END_OF_PYTHON'
{check}END_OF_PYTHON
```
"""
_CHECK = """import hashlib, hmac, json, os, sys
with open(os.environ["SIGNING_KEY_FILE"], "rb") as file:
    key = file.read().strip()
with open("manifest.json", encoding="utf-8") as file:
    manifest = json.load(file)
signature = manifest.pop("signature") or sys.exit("NOT SIGNED")
content = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
if not hmac.compare_digest(hmac.new(key, content, hashlib.sha256).hexdigest(), signature["value"]):
    sys.exit("SIGNATURE INVALID")
for entry in manifest["files"]:
    digest = hashlib.sha256()
    with open(entry["path"], "rb") as file:
        for piece in iter(lambda: file.read(1048576), b""):
            digest.update(piece)
    if digest.hexdigest() != entry["sha256"]:
        sys.exit("ALTERED: " + entry["path"])
print("Valid: backup", manifest["id"], "of database", manifest["database"], "of instance", manifest["instance"])
"""


_UNPACK = """The larger files are compressed by `zstd`, which has to be installed. They are decompressed into a folder
of their own first: only a pg_restore of version 16 or newer that was built with zstd could read them as they are.
"""
_CLEAR = """clear=$(mktemp -d)
cp database/* "$clear"
zstd -dq --rm "$clear"/*.zst
"""


_SEALED = """## Key

The files that end in `.age` are encrypted for {0}.
You need the program `age` (https://age-encryption.org), and the private key in a file that only you can read.
What is decrypted goes straight to the tools, so nothing of it is left on the disk. For a server in a container stay on
this machine, and put `docker exec -i NAME` in front of `psql` and `pg_restore`.

    export IDENTITY_FILE=...

See that the key fits:

"""


def restore_md(
    manifest: Mapping[str, Any], file_names: List[str], *, signed: bool = False, packed: bool = False
) -> str:
    """The text for the set of one database. ``file_names`` are the set's files, relative to it.

    ``packed``: the files of the directory were compressed after pg_dump, which need not be able to read them then.
    """
    database = manifest["database"]
    maintenance = shlex.quote(conninfo("postgres", {}))
    parts = [
        _INTRO.format(
            database=" ".join(database.replace("`", "'").split()),
            server_version=manifest["server_version"],
            client_version=manifest["client_version"],
            created=manifest["created"],
        ) + _block(_COMPARE.format(MANIFEST_FILE))
    ]
    if signed:
        parts.append(_SIGNATURE.format(check=_CHECK))
    parts += _sealed(manifest, PROPERTIES_SCRIPT)
    if {GLOBALS_FILE, GLOBALS_FILE + ENCRYPTED_SUFFIX}.intersection(file_names):
        parts.append("## Roles\n\nMissing roles are created; a role that exists is left as it is.\n")
        parts.append(_block(_script(manifest, "psql -X -v ON_ERROR_STOP=1 -d {0}".format(maintenance), GLOBALS_FILE)))
    properties = manifest["database_properties"]
    parts.append("## Database\n\nThe database must not exist yet.\n")
    parts.append(_block(_sql(maintenance, [
        create_statement(database, properties, server_major=manifest["server_version_num"] // 10000)
    ])))
    parts.append("## Data\n")
    if packed and any(name.endswith(".zst") for name in file_names):
        parts.append(_UNPACK)
        parts.append(_block(_CLEAR + _data_command(manifest, folder='"$clear"')))
    else:
        parts.append(_block(_data_command(manifest)))
    if properties:
        parts.append("## Properties\n\nOwner, settings, privileges and comment of the database itself.\n")
        if manifest.get("encryption"):
            psql = "psql -X -v ON_ERROR_STOP=1 -d {0}".format(maintenance)
            parts.append(_block(_script(manifest, psql, PROPERTIES_SCRIPT)))
        else:
            parts.append(_block(_sql(maintenance, apply_statements(database, properties))))
    parts.append("## Statistics\n\nWithout them the first queries are slow.\n")
    parts.append(_block("vacuumdb --analyze-only -d {0}".format(shlex.quote(conninfo(database, {})))))
    return "\n".join(parts)


def globals_restore_md(manifest: Mapping[str, Any], *, signed: bool = False) -> str:
    """The text for a set of the whole cluster's globals."""
    return "\n".join((
        "# How to restore these globals by hand\n\nRoles, memberships, tablespaces and settings of a whole cluster of "
        "PostgreSQL {0}, as of {1} (UTC).\nA role that exists already is reported as an error, and left; its "
        "attributes are then set as recorded.\n".format(manifest["server_version"], manifest["created"]),
        *([_SIGNATURE.format(check=_CHECK)] if signed else []),
        *_sealed(manifest, GLOBALS_FILE),
        *(["## Globals\n"] if signed or manifest.get("encryption") else []),
        _block(_script(manifest, "psql -X -d {0}".format(shlex.quote(conninfo("postgres", {}))), GLOBALS_FILE)),
    ))


def _sealed(manifest: Mapping[str, Any], trial: str) -> List[str]:
    """What has to be at hand for an encrypted set, and how to see that the key fits the file ``trial``."""
    if not manifest.get("encryption"):
        return []
    recipients = manifest["encryption"]["recipients"]
    whom = ", ".join("`{0}`".format(each) for each in recipients) or "the key that the restored backup was read with"
    return [_SEALED.format(whom) + _block("{0} > /dev/null".format(_decrypted(trial)))]


def _script(manifest: Mapping[str, Any], psql: str, name: str) -> str:
    """What runs a script of the set by ``psql``."""
    if manifest.get("encryption"):
        return "{0} | {1}".format(_decrypted(name), psql)
    return "{0} -f {1}".format(psql, name)


def _decrypted(name: str) -> str:
    return 'age --decrypt --identity "$IDENTITY_FILE" {0}{1}'.format(name, ENCRYPTED_SUFFIX)


def _data_command(manifest: Mapping[str, Any], *, folder: str = DUMP_FOLDER) -> str:
    target = shlex.quote(conninfo(manifest["database"], {}))
    restore = "pg_restore --exit-on-error -d {0}".format(target)
    if manifest.get("encryption") and manifest["format"] == "custom":
        return "{0} | {1}".format(_decrypted(DUMP_CUSTOM), restore)
    if manifest["format"] == "directory":
        return "{0} -j 2 {1}".format(restore, folder)
    if manifest["format"] == "custom":
        return "{0} -j 2 {1}".format(restore, DUMP_CUSTOM)
    if manifest["format"] == "tar":
        return "{0} {1}".format(restore, DUMP_TAR)
    method = manifest["compression"].split(":")[0]
    name = DUMP_PLAIN + PLAIN_SUFFIXES[method]
    psql = "psql -X -v ON_ERROR_STOP=1 -1 -d {0}".format(target)
    reader: Optional[str] = {"gzip": "gunzip -c", "zstd": "zstd -dc", "lz4": "lz4 -dc"}.get(method)
    if manifest.get("encryption"):
        return " | ".join([_decrypted(name), *([reader] if reader else []), psql])
    return "{0} {1} | {2}".format(reader, name, psql) if reader else "{0} -f {1}".format(psql, name)


def _sql(maintenance: str, statements: List[str]) -> str:
    """Statements by a here-document, which the shell leaves alone; a comment may hold any lines, its end too."""
    lines = "".join(statement + ";\n" for statement in statements)
    mark = "END_OF_SQL"
    while mark in lines:
        mark += "_"
    return "psql -X -v ON_ERROR_STOP=1 -d {0} <<'{1}'\n{2}{1}".format(maintenance, mark, lines)


def _block(command: str) -> str:
    fence = "```"
    while fence in command:
        fence += "`"
    return "{0}sh\n{1}\n{0}\n".format(fence, command)
