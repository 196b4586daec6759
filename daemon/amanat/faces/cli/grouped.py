"""A group of commands, and what it says of them."""

from typing import Any

import typer

from amanat.domain.errors import ExitCode


class Grouped(typer.core.TyperGroup):
    """Help by panel, as plain text: drawing it with rich would take as long as all the rest."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        alone = self.invoke_without_command
        if not args and not alone and not ctx.resilient_parsing:  # which is how words are completed
            typer.echo(ctx.get_help())
            raise typer.Exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            first_sentence = (command.help or "").partition("\n\n")[0]
            panels.setdefault(panel, []).append((name, first_sentence))
        for panel, commands in panels.items():
            with formatter.section(panel):
                formatter.write_dl(commands)
