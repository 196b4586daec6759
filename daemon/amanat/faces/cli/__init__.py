"""The ``amanat`` command."""
