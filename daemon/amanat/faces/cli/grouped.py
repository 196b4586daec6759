"""A group of commands: what it says of them, and what becomes of who reads no further."""

import os
import sys
from typing import Any

import typer

from amanat.domain.errors import ExitCode
from amanat.faces.cli import output


class Grouped(typer.core.TyperGroup):
    """Help by panel, as plain text: drawing it with rich would take as long as all the rest."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        alone = self.invoke_without_command
        if not args and not alone and not ctx.resilient_parsing:  # which is how words are completed
            typer.echo(ctx.get_help())
            raise typer.Exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Who reads no further has what he wanted, and that is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if output.is_read():
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.DONE) from None

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            first_sentence = (command.help or "").partition("\n\n")[0]
            panels.setdefault(panel, []).append((name, first_sentence))
        for panel, commands in panels.items():
            with formatter.section(panel):
                formatter.write_dl(commands)
