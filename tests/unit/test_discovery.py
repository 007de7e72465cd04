# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._credentials_file import write_credentials
from ansible_collections.pgfleet.backup.plugins.module_utils._discovery import discover
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._request import read_request
from ansible_collections.pgfleet.backup.tests.unit.servers import EngineInMemory, container, published

STEPS = ["options", "environment", "container", "file"]
DB = container("db", env={
    "PGDATA": "/x", "POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "inner", "POSTGRES_DB": "orders",
})
REMOTE = {"POSTGRES_HOST": "db.example.com", "POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p", "POSTGRES_DB": "shop"}


class Host:
    """A managed host: its containers, the task's environment, the persisted file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "db.env"
        self.engine = EngineInMemory()
        self.environ: Mapping[str, str] = {}

    def runs(self, *containers: Any, **more: Any) -> None:
        self.engine = EngineInMemory(*containers, **more)

    def persisted(self, **variables: str) -> None:
        write_credentials(str(self.file), variables)

    def discover(self, database: str | None = None, **params: Any) -> DbContext:
        request = read_request(params, database=database, credentials_file=str(self.file))
        context = discover(request, environ=self.environ, door=cast(EngineDoor, self.engine))
        assert [step.step for step in context.trace] == STEPS
        assert all(step.reason for step in context.trace)
        return context

    def refusal(self, **params: Any) -> BackupError:
        with pytest.raises(BackupError) as caught:
            self.discover(**params)
        assert caught.value.result["trace"]
        return caught.value


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def outcomes(context: DbContext) -> list[str]:
    """What became of the options, the environment, the container and the file."""
    return [step.outcome for step in context.trace]


def reason(context: DbContext, name: str) -> str:
    return next(step.reason for step in context.trace if step.step == name)


def traced(error: BackupError) -> dict[str, tuple[str, str]]:
    return {step["step"]: (step["outcome"], step["reason"]) for step in error.result["trace"]}


def who(context: DbContext) -> tuple[str, str, str]:
    return context.user, context.password, context.database


# --- step 0: the options


def test_the_options_name_a_remote_host(host: Host) -> None:
    host.environ = REMOTE
    host.runs(DB)
    context = host.discover(login_host="other.example.com", login_port=5433, login_user="me", login_password="mine")
    assert (context.mode, context.host, context.port) == ("external", "other.example.com", 5433)
    assert who(context) == ("me", "mine", "me")
    assert context.credential_source == "CredFromOptions"
    assert outcomes(context) == ["found", "skipped", "skipped", "skipped"]
    assert reason(context, "options") == "the options name the remote host other.example.com"
    assert reason(context, "file") == "not needed: settled by options"
    assert not host.engine.opened


def test_the_environment_fills_the_options_for_the_same_server_only(host: Host) -> None:
    host.environ = REMOTE
    context = host.discover(login_host="db.example.com")
    assert (who(context), context.credential_source) == (("u", "p", "shop"), "CredFromEnv")
    assert outcomes(context) == ["found", "found", "skipped", "skipped"]
    assert reason(context, "environment") == "it fills what the options leave open"
    context = host.discover(login_host="db.example.com", login_password="typed")
    assert (who(context), context.credential_source) == (("u", "typed", "shop"), "CredFromOptions")
    context = host.discover(login_host="db.example.com", login_user="me")
    assert (who(context), context.credential_source) == (("me", "", "shop"), "CredFromOptions")
    assert who(host.discover(login_host="elsewhere")) == ("postgres", "", "postgres")


@pytest.mark.parametrize("params", [
    {"login_unix_socket": "/run/pg"}, {"login_host": "/run/pg"}, {"mode": "local", "login_unix_socket": "/run/pg"},
])
def test_a_socket_is_a_local_server(host: Host, params: dict[str, str]) -> None:
    host.runs(DB)
    context = host.discover(**params)
    assert (context.mode, context.host, context.socket, context.container) == ("local", "", "/run/pg", None)
    assert not host.engine.opened


@pytest.mark.parametrize(("params", "address"), [({}, ("", "")), ({"login_host": "localhost"}, ("localhost", ""))])
def test_a_local_server_that_is_asked_for(host: Host, params: dict[str, str], address: tuple[str, str]) -> None:
    host.runs(DB)
    host.environ = REMOTE
    context = host.discover(mode="local", **params)
    assert (context.mode, (context.host, context.socket), context.password) == ("local", address, "")


def test_the_options_win_over_everything(host: Host) -> None:
    host.runs(DB)
    host.persisted(POSTGRES_CONTAINER="db", POSTGRES_PASSWORD="old")
    context = host.discover("mine", container="db", login_user="me", login_password="typed", ssl_mode="require",
                            connect_params={"keepalives": "1"})
    assert who(context) == ("me", "typed", "mine")
    assert context.credential_source == "CredFromOptions"
    assert context.tls.sslmode == "require"
    assert context.connect_params == {"keepalives": "1"}


# --- step 1: the environment


@pytest.mark.parametrize("environ", [
    REMOTE,
    {"PGHOST": "db.example.com", "PGUSER": "u", "PGPASSWORD": "p", "PGDATABASE": "shop"},
    {"DATABASE_URL": "postgresql://u:p@db.example.com/shop"},
])
def test_the_environment_names_a_remote_host(host: Host, environ: dict[str, str]) -> None:
    host.environ = {**environ, "PGSSLMODE": "require"}
    host.runs(DB)
    context = host.discover()
    assert (context.mode, context.host, context.port) == ("external", "db.example.com", 5432)
    assert context.tls.sslmode == "require"
    assert who(context) == ("u", "p", "shop")
    assert context.credential_source == "CredFromEnv"
    assert outcomes(context) == ["skipped", "found", "skipped", "skipped"]
    assert reason(context, "options") == "no host and no container is named"
    assert not host.engine.opened


def test_what_is_typed_wins_over_the_environment(host: Host) -> None:
    host.environ = REMOTE
    context = host.discover("mine", login_user="me", login_port=5433)
    assert (who(context), context.port) == (("me", "", "mine"), 5433)
    assert who(host.discover(login_password="typed")) == ("u", "typed", "shop")
    assert host.discover(login_password="typed").credential_source == "CredFromOptions"


def test_the_environment_names_a_socket(host: Host) -> None:
    host.environ = {"PGHOST": "/run/pg"}
    context = host.discover()
    assert (context.mode, context.socket, context.host) == ("local", "/run/pg", "")


@pytest.mark.parametrize("environ", [
    {"PGPORT": "x"}, {"PGUSER": "u"}, {"PGPASSWORD_FILE": "/missing"}, {"DATABASE_URL": "mysql://x"},
    {"POSTGRES_HOST": "", "PGPORT": "x"},
])
def test_an_environment_without_a_host_says_nothing(host: Host, environ: dict[str, str]) -> None:
    host.environ = environ
    host.runs(DB)
    context = host.discover()
    assert reason(context, "environment") == "POSTGRES_HOST is not set"
    assert who(context) == ("shop", "inner", "orders")


@pytest.mark.parametrize("environ", [
    {"PGPORT": "x"}, {"PGPASSWORD_FILE": "/missing"}, {"PGHOST": "a,b"}, {"PGSSLMODE": "on"},
])
def test_an_invalid_environment_ends_discovery(host: Host, environ: dict[str, str]) -> None:
    host.environ = {"PGHOST": "db.example.com", **environ}
    host.runs(DB)
    host.persisted(**REMOTE)
    error = host.refusal()
    assert error.code == "INVALID_DB_CONFIG"
    assert traced(error)["environment"][0] == "rejected"
    assert list(traced(error)) == ["options", "environment"]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "::1"])
def test_a_local_host_means_a_container(host: Host, name: str) -> None:
    host.environ = {"POSTGRES_HOST": name}
    host.runs(DB)
    context = host.discover()
    assert (context.mode, context.container, context.host, context.port) == ("in_container", DB, "", 5432)
    assert who(context) == ("shop", "inner", "orders")
    assert context.credential_source == "CredFromEnv"
    assert outcomes(context) == ["skipped", "found", "found", "skipped"]
    assert reason(context, "environment") == "POSTGRES_HOST={0} is this machine: looking for its container".format(name)
    assert reason(context, "container") == "db is the only running PostgreSQL server"


def test_what_the_environment_says_wins_over_the_container(host: Host) -> None:
    host.environ = {"PGHOST": "localhost", "PGUSER": "shop", "PGDATABASE": "other"}
    host.runs(DB)
    assert who(host.discover()) == ("shop", "inner", "other")
    host.environ = {"PGHOST": "localhost", "PGUSER": "else", "PGPASSWORD": "its"}
    assert who(host.discover()) == ("else", "its", "orders")
    host.environ = {"PGHOST": "localhost", "PGUSER": "else"}
    assert who(host.discover()) == ("else", "", "orders")


def test_a_published_port_serves_to_find_the_container_only(host: Host) -> None:
    host.environ = {"POSTGRES_HOST": "localhost", "POSTGRES_PORT": "55432"}
    host.runs(container("app", ports=published(55432)), container("other", ports=published(55433)))
    context = host.discover()
    assert (context.mode, context.container_name, context.host, context.port) == ("in_container", "app", "", 5432)
    assert host.discover(login_port=55433).container_name == "other"
    host.runs(container("app", env={"PGPORT": "6000"}, ports=published(55432, 6000)))
    assert host.discover().port == 6000


@pytest.mark.parametrize(("containers", "code"), [
    ([], "CONTAINER_NOT_FOUND"),
    ([container("web", "nginx", env={})], "CONTAINER_NOT_FOUND"),
    ([container("db", running=False)], "CONTAINER_NOT_RUNNING"),
    ([container("a"), container("b")], "CONTAINER_AMBIGUOUS"),
])
def test_a_local_host_without_its_container_is_an_error(host: Host, containers: list[Any], code: str) -> None:
    host.environ = {"POSTGRES_HOST": "localhost"}
    host.persisted(**REMOTE)
    host.runs(*containers)
    error = host.refusal()
    assert error.code == code
    assert traced(error)["container"][0] == "rejected"
    assert traced(error)["container"][1].startswith(code)
    assert "file" not in traced(error)


def test_a_local_host_and_an_engine_that_is_down(host: Host) -> None:
    host.environ = {"POSTGRES_HOST": "localhost"}
    host.runs(down=True)
    error = host.refusal()
    assert error.code == "ENGINE_UNAVAILABLE"
    assert traced(error)["container"] == ("rejected", "ENGINE_UNAVAILABLE: the engine does not answer")


def test_a_remote_environment_while_a_container_was_asked_for(host: Host) -> None:
    host.environ = REMOTE
    host.runs(DB)
    why = "POSTGRES_HOST=db.example.com is elsewhere, and a container was asked for"
    for params in (
        {"container": "db"}, {"mode": "in_container"}, {"login_host": "localhost"}, {"container_image": "postgres"},
    ):
        context = host.discover(**params)
        assert who(context) == ("shop", "inner", "orders")
        assert context.credential_source == "CredFromRunningContainer"
        assert reason(context, "environment") == why


# --- step 2: a running container


def test_the_only_running_server(host: Host) -> None:
    host.runs(DB, container("web", "nginx", env={}))
    context = host.discover()
    assert (context.mode, context.container_name) == ("in_container", "db")
    assert context.credential_source == "CredFromRunningContainer"
    assert outcomes(context) == ["skipped", "skipped", "found", "skipped"]
    assert reason(context, "environment") == "POSTGRES_HOST is not set"
    assert "inner" not in repr(context)


def test_the_official_images_defaults(host: Host) -> None:
    host.runs(container("db"))
    assert who(host.discover()) == ("postgres", "", "postgres")
    host.runs(container("db", env={"PGDATA": "x", "POSTGRES_USER": "shop"}))
    assert who(host.discover()) == ("shop", "", "shop")


def test_secrets_are_read_inside_the_container(host: Host) -> None:
    db = container("db", env={"PGDATA": "x", "POSTGRES_PASSWORD_FILE": "/run/secret"})
    host.runs(db, files={("db", "/run/secret"): "s\n"})
    assert host.discover().password == "s"
    host.runs(db)
    host.persisted(**REMOTE)
    error = host.refusal()
    assert error.code == "INVALID_DB_CONFIG"
    assert traced(error)["container"][0] == "rejected"


@pytest.mark.parametrize("name", ["db", "id-of-db"])
def test_the_named_container(host: Host, name: str) -> None:
    host.runs(DB, container("b"), container("c", running=False))
    context = host.discover(container=name)
    assert context.container == DB
    assert outcomes(context) == ["found", "skipped", "found", "skipped"]
    assert host.refusal(container="c").code == "CONTAINER_NOT_RUNNING"
    error = host.refusal(container="x")
    assert error.code == "CONTAINER_NOT_FOUND"
    assert error.what == "there is no container 'x'; running: b, db"


def test_the_container_names_a_remote_host(host: Host) -> None:
    app = container("app", "app", env={**REMOTE, "POSTGRES_PORT": "5433"}, ports=published(8080, 80))
    host.runs(app)
    context = host.discover(container="app")
    assert (context.mode, context.host, context.port, context.container) == ("external", "db.example.com", 5433, None)
    assert who(context) == ("u", "p", "shop")
    assert context.credential_source == "CredFromRunningContainer"
    assert reason(context, "container") == "app was named, whose environment names the remote host db.example.com"
    # The port by which the container was found is not the remote server's, any other is what the user wants.
    assert host.discover(container="app", login_port=8080).port == 5433
    assert host.discover(container="app", login_port=6432).port == 6432
    assert host.discover(container="app", mode="external").mode == "external"
    error = host.refusal(container="app", mode="in_container")
    assert error.code == "INVALID_DB_CONFIG"
    assert traced(error)["container"][0] == "rejected"


def test_the_container_names_another_containers_alias(host: Host) -> None:
    app = container("app", "app", env={"POSTGRES_HOST": "database", "POSTGRES_USER": "shop", "POSTGRES_PORT": "6000"})
    db = container("shop-db-1", aliases=("database",), env=DB.env)
    host.runs(app, db)
    context = host.discover(container="app")
    assert (context.mode, context.container, context.host, context.port) == ("in_container", db, "", 6000)
    assert who(context) == ("shop", "inner", "orders")
    assert reason(context, "container") == "app was named, whose environment names the container shop-db-1"


def test_another_containers_own_port(host: Host) -> None:
    app = container("app", "app", env={"POSTGRES_HOST": "db"})
    host.runs(app, container("db", env={"PGDATA": "x", "PGPORT": "6000"}))
    assert host.discover(container="app").port == 6000


def test_another_container_that_is_stopped_or_elsewhere(host: Host) -> None:
    app = container("app", "app", env={"POSTGRES_HOST": "db"})
    host.runs(app, container("db", running=False))
    assert host.refusal(container="app").code == "CONTAINER_NOT_RUNNING"
    host.runs(app, container("db", networks=("other",)))
    assert host.discover(container="app").mode == "external"


def test_a_typed_port_that_is_not_published_is_the_one_inside(host: Host) -> None:
    host.runs(container("db", env={"PGDATA": "/x"}, ports=published(55432)))
    assert host.discover(container="db", login_port="55432").port == 5432
    assert host.discover(container="db", login_port="6000").port == 6000


def test_the_port_that_the_file_keeps_is_the_one_inside(host: Host) -> None:
    host.runs(container("a"), container("b"))
    host.persisted(POSTGRES_HOST="localhost", POSTGRES_CONTAINER="b", POSTGRES_PORT="6000")
    assert host.discover().port == 6000


def test_the_environment_may_name_the_container(host: Host) -> None:
    host.runs(container("a", running=False, state="exited"), container("b"))
    host.environ = {"POSTGRES_HOST": "localhost", "POSTGRES_CONTAINER": "a"}
    assert host.refusal().code == "CONTAINER_NOT_RUNNING"


def test_a_service_in_the_container_would_lead_elsewhere(host: Host) -> None:
    host.runs(container("db", env={"PGDATA": "/x", "PGSERVICE": "other"}))
    assert host.refusal().code == "INVALID_DB_CONFIG"


def test_a_remote_server_in_the_file_among_several_containers(host: Host) -> None:
    host.runs(container("a"), container("b"))
    host.persisted(**REMOTE)
    assert host.refusal().code == "CONTAINER_AMBIGUOUS"
    assert host.discover(mode="external").host == "db.example.com"


def test_a_password_without_a_user_is_the_default_users(host: Host) -> None:
    host.runs(container("db", env={"PGDATA": "/x", "POSTGRES_PASSWORD": "of-postgres"}))
    assert host.discover(container="db").password == "of-postgres"
    assert host.discover(container="db", login_user="shop").password == ""


@pytest.mark.parametrize(("inner_host", "socket"), [
    ("localhost", ""), ("127.0.0.1", ""), ("/run/pg", "/run/pg"), ("db", ""),
])
def test_a_container_that_names_itself(host: Host, inner_host: str, socket: str) -> None:
    host.runs(container("db", env={"PGDATA": "x", "PGHOST": inner_host}))
    context = host.discover()
    assert (context.mode, context.container_name, context.host, context.socket) == ("in_container", "db", "", socket)


def test_a_socket_inside_the_container(host: Host) -> None:
    host.runs(DB)
    context = host.discover(container="db", login_unix_socket="/run/pg")
    assert (context.mode, context.socket) == ("in_container", "/run/pg")


def test_warnings_travel_along(host: Host) -> None:
    host.runs(container("db", env={"PGDATA": "x", "POSTGRES_USER": "a", "PGUSER": "b"}))
    assert host.discover().warnings == (
        "container db: POSTGRES_USER and PGUSER disagree; POSTGRES_USER is used.",)


def test_a_mode_that_the_container_does_not_lead_to(host: Host) -> None:
    host.runs(DB)
    host.persisted(**REMOTE)
    context = host.discover(mode="external")
    assert (context.mode, context.host) == ("external", "db.example.com")
    assert reason(context, "container").endswith("which is in_container; mode=external was asked for")


def test_a_local_environment_and_mode_external(host: Host) -> None:
    host.environ = {"PGHOST": "localhost"}
    host.persisted(**REMOTE)
    context = host.discover(mode="external")
    assert context.host == "db.example.com"
    assert reason(context, "environment") == "POSTGRES_HOST=localhost is this machine, and mode=external was asked for"


def test_a_socket_in_the_environment_and_mode_external(host: Host) -> None:
    host.environ = {"PGHOST": "/run/pg"}
    host.persisted(**REMOTE)
    context = host.discover(mode="external")
    assert context.host == "db.example.com"
    assert reason(context, "environment") == "POSTGRES_HOST=/run/pg is local, and mode=external was asked for"


def test_a_container_is_asked_for_and_the_engine_is_down(host: Host) -> None:
    host.runs(down=True)
    host.persisted(**REMOTE)
    for params in ({"container": "db"}, {"mode": "in_container"}, {"container_labels": {"a": ""}}):
        assert host.refusal(**params).code == "ENGINE_UNAVAILABLE"


# --- step 3: the persisted file


def test_the_file_names_a_remote_host(host: Host) -> None:
    host.persisted(**REMOTE, POSTGRES_SSLMODE="require")
    context = host.discover()
    assert (context.mode, context.host, context.tls.sslmode) == ("external", "db.example.com", "require")
    assert who(context) == ("u", "p", "shop")
    assert context.credential_source == "CredFromPersistedFile"
    assert outcomes(context) == ["skipped", "skipped", "skipped", "found"]
    assert reason(context, "container") == "no running container is a PostgreSQL server"
    assert reason(context, "file") == "{0} names db.example.com".format(host.file)


def test_the_file_names_a_remote_host_and_the_engine_is_down(host: Host) -> None:
    host.runs(down=True)
    host.persisted(**REMOTE)
    context = host.discover()
    assert context.mode == "external"
    assert reason(context, "container") == "ENGINE_UNAVAILABLE: the engine does not answer"


def test_the_file_names_one_of_several_containers(host: Host) -> None:
    host.runs(container("a"), container("b", ports=published(55432)))
    host.persisted(
        POSTGRES_HOST="localhost", POSTGRES_CONTAINER="b", POSTGRES_USER="u", POSTGRES_PASSWORD="p",
        POSTGRES_PORT="55432",
    )
    context = host.discover()
    assert (context.mode, context.container_name, context.port) == ("in_container", "b", 5432)
    assert (who(context), context.credential_source) == (("u", "p", "u"), "CredFromPersistedFile")
    assert reason(context, "container").startswith("CONTAINER_AMBIGUOUS: ")
    assert host.discover(login_password="typed").credential_source == "CredFromOptions"


def test_the_file_names_a_socket(host: Host) -> None:
    host.persisted(PGHOST="/run/pg")
    assert host.discover().mode == "local"
    assert host.refusal(mode="external").code == "CREDENTIALS_UNAVAILABLE"


def test_several_containers_and_a_file_that_names_none(host: Host) -> None:
    host.runs(container("a"), container("b"))
    host.persisted(**REMOTE)
    error = host.refusal()
    assert error.code == "CONTAINER_AMBIGUOUS"
    assert traced(error)["file"][0] == "rejected"


def test_the_file_names_this_machine_and_no_container(host: Host) -> None:
    host.persisted(POSTGRES_HOST="localhost", POSTGRES_PASSWORD="p")
    assert host.refusal().code == "CONTAINER_NOT_FOUND"
    host.runs(down=True)
    assert host.refusal().code == "ENGINE_UNAVAILABLE"
    host.runs(container("db", running=False))
    assert host.refusal().code == "CONTAINER_NOT_RUNNING"


def test_the_file_fills_what_the_container_leaves_open(host: Host) -> None:
    host.runs(container("db"))
    host.persisted(POSTGRES_CONTAINER="db", POSTGRES_USER="u", POSTGRES_PASSWORD="p", POSTGRES_DB="shop")
    context = host.discover()
    assert who(context) == ("u", "p", "shop")
    assert outcomes(context) == ["skipped", "skipped", "found", "found"]
    assert reason(context, "file") == "{0} fills what container db leaves open".format(host.file)
    assert who(host.discover(container="db", login_user="me")) == ("me", "", "shop")


@pytest.mark.parametrize(("named", "shown"), [("other", "other"), ("", "(none)")])
def test_a_file_about_another_container_is_skipped(host: Host, named: str, shown: str) -> None:
    host.runs(container("db"), container("other"))
    host.persisted(POSTGRES_CONTAINER=named, POSTGRES_USER="u", POSTGRES_PASSWORD="p")
    context = host.discover(container="db")
    assert who(context) == ("postgres", "", "postgres")
    assert outcomes(context)[3] == "skipped"
    assert reason(context, "file") == "{0} names the container {1}, not db".format(host.file, shown)


def test_a_file_is_not_read_without_need(host: Host) -> None:
    host.runs(DB)
    host.file.write_text("malformed")
    assert reason(host.discover(), "file") == "not needed: settled by container"


@pytest.mark.parametrize("content", ["malformed", "POSTGRES_PORT=x\n", "POSTGRES_HOST=a,b\n"])
def test_an_invalid_file_ends_discovery(host: Host, content: str) -> None:
    host.file.write_text(content)
    for containers in ([], [container("db")]):
        host.runs(*containers)
        error = host.refusal()
        assert error.code == "INVALID_DB_CONFIG"
        assert str(host.file) in error.what
        assert traced(error)["file"][0] == "rejected"


def test_the_file_and_mode_external(host: Host) -> None:
    host.persisted(POSTGRES_HOST="localhost", POSTGRES_CONTAINER="db")
    host.runs(DB)
    error = host.refusal(mode="external")
    why = "{0} names this machine, and mode=external was asked for".format(host.file)
    assert traced(error)["file"] == ("skipped", why)


# --- nothing


def test_nothing_is_found(host: Host) -> None:
    error = host.refusal()
    assert error.code == "CREDENTIALS_UNAVAILABLE"
    assert {name: outcome for name, (outcome, _why) in traced(error).items()} == dict.fromkeys(STEPS, "skipped")
    for _outcome, why in traced(error).values():
        assert why in error.what
    assert "{0} does not exist".format(host.file) in error.what


@pytest.mark.parametrize(("containers", "down", "code"), [
    ([], True, "ENGINE_UNAVAILABLE"),
    ([container("a"), container("b")], False, "CONTAINER_AMBIGUOUS"),
    ([container("a", running=False)], False, "CONTAINER_NOT_RUNNING"),
])
def test_what_the_container_step_could_not_settle_is_the_final_error(
    host: Host, containers: list[Any], down: bool, code: str
) -> None:
    host.runs(*containers, down=down)
    error = host.refusal()
    assert error.code == code
    assert traced(error)["container"][0] == "skipped"
    assert traced(error)["container"][1].startswith(code)
    assert list(traced(error)) == STEPS
