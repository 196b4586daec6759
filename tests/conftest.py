"""What all tests share: the PostgreSQL servers."""

import pytest

pytest.register_assert_rewrite("tests.contract.engine_contract", "tests.support")

pytest_plugins = ["tests.support.postgres_plugin", "tests.support.root_only"]
