"""The engine contract on every PostgreSQL major that is supported."""

import pytest

from tests.contract.engine_contract import EngineContract
from tests.support.postgres import MAJORS
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import PostgresSubject


@pytest.fixture(scope="module", params=MAJORS, ids=lambda major: f"pg{major}")
def subject(postgres_workspace, request):
    postgres = Postgres(postgres_workspace.server(request.param))
    yield PostgresSubject(postgres)
    postgres.close()


class TestPostgresqlEngine(EngineContract):
    pass
