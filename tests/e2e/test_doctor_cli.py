"""``amanat doctor`` and ``amanat evidence`` as people and scripts use them."""

import json
from html.parser import HTMLParser

import pytest

from tests.support.cli import Amanat
from tests.support.scene import POLICIES, amanat, taken

__all__ = ["amanat", "taken"]

ELSEWHERE = """
  far:
    engine: postgresql
    environment: production
    connection: {host: /nowhere/of/mine, dbname: far, user: somebody}
    password: {env: FAR_PASSWORD}
policies:
  remote:
    databases: [far]
    on_demand: true
    keep: {last: 1}
"""
SECRET = "s3cret-of-far"
WELL = {"AMANAT_HTTP": "off"}


def checks(said: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(check["subject"], check["name"]): check for check in json.loads(said)["checks"]}


def test_all_is_well_and_the_table_is_for_scripts_too(amanat):
    found = amanat.json("doctor", env=WELL)
    assert found["level"] == "ok"
    assert {tuple(check) for check in found["checks"]} == {("subject", "name", "level", "found", "remedy")}
    lines = amanat.ok("doctor", env=WELL).splitlines()
    assert lines[0].split("\t") == ["SUBJECT", "CHECK", "LEVEL", "FOUND", "WHAT TO DO"]
    assert {line.split("\t")[2] for line in lines[1:]} == {"ok"}


def test_a_defect_ends_with_3_and_says_what_to_do(amanat):
    (amanat.folder / "app.sqlite").unlink()
    done = amanat.run("doctor", "--json", env=WELL)
    assert (done.returncode, json.loads(done.stdout)["level"]) == (3, "fail")
    assert [key for key, check in checks(done.stdout).items() if check["level"] == "fail"] == [("app", "source")]
    assert checks(done.stdout)["app", "source"]["remedy"]


def test_one_database_is_enough_or_unknown(amanat):
    amanat.policies(POLICIES.replace("policies:\n", ELSEWHERE.lstrip("\n"), 1))
    env = {**WELL, "FAR_PASSWORD": SECRET}
    whole = amanat.run("doctor", "--json", env=env)
    assert whole.returncode == 3
    assert {subject for subject, _ in checks(whole.stdout)} >= {"host", "app", "far"}
    assert SECRET not in whole.stdout + whole.stderr
    one = amanat.run("doctor", "app", "--json", env=env)
    assert one.returncode == 0
    assert not [subject for subject, _ in checks(one.stdout) if "far" in subject or "remote" in subject]
    assert "no database 'nope'" in amanat.fails(5, "doctor", "nope", env=env)


def test_what_can_be_examined_without_register_or_policies(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies("version: 7")
    done = amanat.run("doctor", "--json", env=WELL)
    found = checks(done.stdout)
    failing = [name for (_, name), check in found.items() if check["level"] == "fail"]
    assert (done.returncode, failing) == (3, ["register", "chain", "configuration"])
    assert found["host", "store"]["level"] == "ok"
    assert not amanat.state.exists()


@pytest.mark.slow
def test_the_daemon_is_recognised(amanat):
    with amanat.daemon() as daemon:
        found = checks(amanat.ok("doctor", "--json", env={"AMANAT_HTTP": daemon.address}))
        assert "the daemon serves" in found["host", "metrics-port"]["found"]
        (amanat.folder / "elsewhere").mkdir(mode=0o700)
        env = {"AMANAT_HTTP": daemon.address, "AMANAT_STORE": str(amanat.folder / "elsewhere")}
        said = amanat.run("doctor", "--json", env=env).stdout
        assert "another store" in checks(said)["host", "metrics-port"]["found"]
        assert daemon.readiness()[0] == 200


# evidence


def test_a_page_for_an_auditor(amanat):
    (row,) = amanat.json("list")
    amanat.ok("hold", row["id"], "--reason", "kept for | the <b>audit</b>")
    amanat.ok("verify", row["id"])
    text = amanat.ok("evidence", "app")
    for words in (row["path"], "kept for | the <b>audit</b>", "15 2 * * * in UTC", "the newest 10", "it holds"):
        assert words in text
    for words in ("readable: 1", "staging", "sqlite", "verify", "snapshot", "pre-release"):
        assert words in text
    head = amanat.json("register")[-1]
    assert f"{head['sequence']}:{head['hash']}" in text


@pytest.mark.slow
def test_a_page_names_no_place_and_no_connection(amanat):
    amanat.policies(POLICIES.replace("policies:\n", ELSEWHERE.lstrip("\n"), 1))
    env = {"FAR_PASSWORD": SECRET}
    amanat.run("snapshot", "far", env=env)
    for database in ("app", "far"):
        for form in ("text", "markdown", "html", "json"):
            page = amanat.ok("evidence", database, "--format", form, env=env)
            assert not [word for word in (str(amanat.folder), "/nowhere", "somebody", SECRET) if word in page]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.add(tag)


def test_its_forms_hold_what_people_wrote(amanat):
    (row,) = amanat.json("list")
    amanat.ok("hold", row["id"], "--reason", "x | y <script>alert(1)</script>")
    assert r"x \| y \<script\>" in amanat.ok("evidence", "app", "--format", "markdown")
    page = amanat.ok("evidence", "app", "--format", "html")
    assert "script" not in Page(page).tags
    assert page.endswith("</body></html>\n")
    found = amanat.json("evidence", "app")
    assert found["holds"][0]["reasons"] == ["x | y <script>alert(1)</script>"]
    assert json.loads(amanat.ok("evidence", "app", "--format", "json"))["kept"] == found["kept"]


@pytest.mark.parametrize(
    ("table", "change"),
    [("entries", "by = 'mallory'"), ("snapshots", "purpose = 'another'")],
    ids=["entry", "row"],
)
def test_a_page_says_that_the_register_is_not_what_it_was(amanat, table, change):
    amanat.query(f"UPDATE {table} SET {change}")
    page = amanat.ok("evidence", "app")
    assert page.index("WARNING: the register is not what it was") < page.index("What is kept")
    assert "it does not hold" in page
    assert amanat.json("evidence", "app")["chain"]["valid"] is False


def test_a_page_of_a_database_that_only_the_register_knows(amanat):
    amanat.policies(POLICIES.replace("app", "other"))
    assert amanat.json("evidence", "app")["kept"][0]["snapshots"] == 1
    assert amanat.json("evidence", "other")["kept"] == []
    assert "no database 'nope'" in amanat.fails(5, "evidence", "nope")
