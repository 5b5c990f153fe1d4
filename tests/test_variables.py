"""Variables with odd characters: taken as they are, or explained at start without being shown."""

import os
import subprocess
from pathlib import Path

import pytest
from environs import EnvError

from settings.env import Variables
from tests.support import PROJECT, manage

SECRET = "geheim"


def variables(tmp_path: Path, text: str | bytes) -> Variables:
    """What is read of a file."""
    file = tmp_path / "variables"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Variables(file)


@pytest.fixture(autouse=True)
def _nothing_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PASSWORD", "OPTIONS", "DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PASSWORD=a$b${HOME}c", "a$b${HOME}c"),
        ("PASSWORD=a#b@c:d/e?f", "a#b@c:d/e?f"),
        ("PASSWORD='a #b'", "a #b"),
        ("PASSWORD='a #b' # a comment", "a #b"),
        ("PASSWORD=a'b\"c", "a'b\"c"),
        (r"PASSWORD=a\b", r"a\b"),
        ("PASSWORD=비밀", "비밀"),
        ("# a comment\n\nPASSWORD= a ", "a"),
        ("OTHER=1", None),
    ],
)
def test_values_are_taken_as_they_are(tmp_path: Path, line: str, value: str | None) -> None:
    assert variables(tmp_path, f"{line}\n").whole("PASSWORD") == value


def test_a_value_of_which_a_comment_would_take_a_part_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = variables(tmp_path, f"TASKS=3 # of each\n\n# mine\nPASSWORD={SECRET} #{SECRET}\n")
    assert found.int("TASKS") == 3
    with pytest.raises(EnvError, match=r'"PASSWORD" invalid: in .*, line 4 a # .* in single quotes') as told:
        found.whole("PASSWORD")
    assert SECRET not in str(told.value)
    monkeypatch.setenv("PASSWORD", "of #1")
    assert found.whole("PASSWORD") == "of #1"


@pytest.mark.parametrize("line", [f"PASSWORD='it's {SECRET}'", f'PASSWORD="{SECRET}', f"PASSWORD {SECRET}"])
def test_a_line_that_is_no_variable_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(EnvError, match=r"line 3 is no NAME=value") as told:
        variables(tmp_path, f"A=1\n\n{line}\n")
    assert SECRET not in str(told.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match="can't be read: it is not UTF-8"):
        variables(tmp_path, "PASSWORD=geheim\xe9".encode("latin-1"))


def test_a_file_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert Variables(tmp_path / "missing").whole("PASSWORD", "default") == "default"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f'{{"sasl.password": "{SECRET}}}', "no JSON at line 1, column 19: Unterminated string starting at"),
        (f'{{"sasl.password": {SECRET}}}', "no JSON at line 1, column 19: Expecting value"),
        (f"['{SECRET}']", "no JSON at line 1, column 2: Expecting value"),
        (f'["{SECRET}"]', "it must be a JSON object"),
    ],
)
def test_what_is_no_json_object_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.setenv("OPTIONS", text)
    with pytest.raises(EnvError) as told:
        Variables(tmp_path / "missing").json_object("OPTIONS")
    assert str(told.value) == f'Environment variable "OPTIONS" invalid: {why}'


def test_json_with_a_comment_sign_stands_in_single_quotes(tmp_path: Path) -> None:
    line = 'OPTIONS={"sasl.password": "a #b"}'
    with pytest.raises(EnvError, match="write the value in single quotes"):
        variables(tmp_path, line).json_object("OPTIONS")
    quoted = line.replace("=", "='") + "'"
    assert variables(tmp_path, quoted).json_object("OPTIONS") == {"sasl.password": "a #b"}
    assert variables(tmp_path, "OPTIONS=").json_object("OPTIONS") == {}


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("a@b", "a@b"),
        ("a:b", "a:b"),
        ("a%b", "a%b"),
        ("a b", "a b"),
        ("a%23%2F%3F%40%5B", "a#/?@["),
        ("비밀", "비밀"),
    ],
)
def test_passwords_of_the_database_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, password: str
) -> None:
    monkeypatch.setenv("DATABASE", f"postgres://user:{written}@host:5433/name")
    found = Variables(tmp_path / "missing").database("DATABASE", "")
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "user",
        password,
        "host",
        5433,
        "name",
    )


@pytest.mark.parametrize(
    "url",
    [
        *(f"postgres://user:{password}@host/name" for password in ("geheim#1", "geheim/1", "geheim?1", "[geheim")),
        *(f"postgres://user:{password}@host/name" for password in ("1#geheim", "1/geheim", "1?geheim")),
        "postgres//user:geheim@host/name",
        "geheim",
        "sqlite:///geheim#1.sqlite3",
    ],
)
def test_an_url_of_the_database_that_would_be_misread_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE", url)
    with pytest.raises(EnvError, match=r'"DATABASE" invalid: it must be a URL .* percent-encoded') as told:
        Variables(tmp_path / "missing").database("DATABASE", "")
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:////a@b.sqlite3", "postgres://host/name"])
def test_other_urls_of_the_database_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE", url)
    assert Variables(tmp_path / "missing").database("DATABASE", "")["NAME"] in (":memory:", "/a@b.sqlite3", "name")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", {"connect_timeout": 5, "options": "-c statement_timeout=30s"}),
        ("?connect_timeout=2&sslmode=require", {"connect_timeout": 2, "sslmode": "require"}),
        ("?options=&tcp_user_timeout=", {"options": None, "tcp_user_timeout": None}),  # for a PgBouncer
    ],
)
def test_the_url_of_the_database_changes_its_options_or_takes_them_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, told: dict[str, object]
) -> None:
    monkeypatch.setenv("DATABASE", f"postgres://host/name{query}")
    options = Variables(tmp_path / "missing").database("DATABASE", "")["OPTIONS"]
    assert {name: options.get(name) for name in told} == told


def test_mariadb_has_time_outs_and_refuses_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "mysql://user:a%23b@host:3307/name?read_timeout=90")
    found = Variables(tmp_path / "missing").database("DATABASE", "")
    assert (found["ENGINE"], found["PASSWORD"], found["PORT"]) == ("django.db.backends.mysql", "a#b", 3307)
    options = found["OPTIONS"]
    assert (options["connect_timeout"], options["read_timeout"], options["write_timeout"]) == (5, 90, 35)
    assert "TRADITIONAL" in options["init_command"]


def test_user_and_password_are_divided_by_the_first_colon(tmp_path: Path) -> None:
    assert variables(tmp_path, "PASSWORD=user:a:b").user_and_password("PASSWORD") == ("user", "a:b")
    assert variables(tmp_path, "PASSWORD=").user_and_password("PASSWORD") is None
    with pytest.raises(EnvError, match=r'"PASSWORD" invalid: it must be user:password$'):
        variables(tmp_path, f"PASSWORD={SECRET}").user_and_password("PASSWORD")


def test_lists_have_no_spaces_around_their_parts(tmp_path: Path) -> None:
    found = variables(tmp_path, "HOSTS=a.example, b.example,\nNONE=")
    assert found.texts("HOSTS", []) == ["a.example", "b.example"]
    assert (found.texts("NONE", ["a"]), found.texts("MISSING", ["a"])) == ([], ["a"])


def test_a_command_tells_it_in_one_line(tmp_path: Path) -> None:
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test", "KAFKA_OPTIONS": f'{{"sasl.password": {SECRET}'}
    ended = subprocess.run(
        manage("check"), cwd=PROJECT, env=environ, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stderr.startswith('settings: Environment variable "KAFKA_OPTIONS" invalid: no JSON at line 1')
    assert SECRET not in ended.stderr
