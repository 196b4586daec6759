"""``python -m amanat``: the same door as the ``amanat`` command."""

from amanat.faces.cli.main import main

if __name__ == "__main__":
    main()
