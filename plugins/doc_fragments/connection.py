# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options about which server is meant, shared by all modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the connection."""

    DOCUMENTATION = r"""
options:
  mode:
    description:
      - How the server is to be reached. A database in a container is only ever touched by the PostgreSQL tools inside
        that container, any other only by the tools of the managed host.
      - V(auto) discovers it. V(in_container), V(external) and V(local) refuse whatever discovery finds otherwise.
      - V(local) is a server on the managed host itself, outside any container. It is never chosen as a fallback.
    type: str
    choices: [auto, in_container, external, local]
    default: auto
  container:
    description: Name or id of the container that runs the server, or of one whose environment says where the server is.
    type: str
  container_image:
    description:
      - Look for the running container of this image, with or without a tag.
      - Of several the one with the highest version tag is used; V(latest) is no version.
    type: str
  container_labels:
    description: Look for the running container with these labels. An empty value matches any value.
    type: dict
  docker_host:
    description:
      - Address of the container engine, as in E(DOCKER_HOST). The Docker SDK for Python is used where it is installed,
        else the C(docker) or C(podman) command; for an address by TLS or SSH the command is tried first.
    type: str
  login_host:
    description:
      - Host of the server, or the folder of its Unix socket.
      - A local host (C(localhost), C(127.0.0.0/8), C(::1)) means a container on the managed host, unless O(mode=local).
    type: str
  login_port:
    description:
      - Port of the server. For a server in a container the published port, which serves to find the container.
      - Unset, it is the discovered one, else 5432.
    type: str
  login_user:
    description: Role to log in as. Unset, it is the discovered one, else V(postgres).
    type: str
  login_password:
    description: Password of the role. It is passed to the tools by their environment only.
    type: str
  login_unix_socket:
    description: Folder of the server's Unix socket. Without O(container) it implies O(mode=local).
    type: str
  ssl_mode:
    description: libpq's C(sslmode). Unset, libpq's own default applies.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File of the certificate authority to verify the server with, on the managed host.
    type: path
  ssl_cert:
    description: File of the client's certificate, on the managed host.
    type: path
  ssl_key:
    description: File of the client's private key, on the managed host.
    type: path
  connect_params:
    description:
      - Further libpq connection keywords, such as C(keepalives_idle).
      - Refused are those with options of their own, and those that would lead past the guard or show a secret.
    type: dict
  maintenance_db:
    description: Database to connect to for what is not about one database. Unset, V(postgres), else V(template1).
    type: str
  credentials_file:
    description:
      - File of C(KEY=value) lines that is read when neither options, nor environment, nor a running container name a
        server. It also fills what the container it names leaves open.
      - Unset, it is C(state/db.env) beside O(backup_dir).
    type: path
  persist_credentials:
    description:
      - Keep the credentials of a server in a container in O(credentials_file), after a successful backup.
      - Only M(pgfleet.backup.pg_backup) writes the file; the other modules accept the option and only read the file.
    type: bool
    default: false
  backup_dir:
    description: Folder of the backup sets, on the managed host.
    type: path
    default: /var/lib/pgfleet/backups
  instance:
    description:
      - Name of the server under which its sets are filed and looked up.
      - Unset, it is Compose's C(<project>_<service>), the Swarm service, the container's name, C(<host>_<port>), or
        C(local_<port>).
    type: str
  options:
    description:
      - Options of this module in one dictionary, such as an entry of a list of servers. They win over those beside it.
      - Options that only M(pgfleet.backup.pg_backup), M(pgfleet.backup.pg_restore) or M(pgfleet.backup.pg_backup_info)
        has are passed over by the others, so that one dictionary serves all of them.
    type: dict
notes:
  - The managed host needs Python 3.8 or newer. For containers it needs the Docker SDK for Python, or the C(docker) or
    C(podman) command; for other servers the PostgreSQL client tools of the server's major version or a newer one.
  - An option given as an empty string is unset, as a survey's blank answer should be.
"""
