"""Command groups that load a command only when it is used."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import click

from dragon_cli.start import keep_imported

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class PackageGroup(click.Group):
    """The commands of a package: module `status` defines the command `status`.

    A command that has the name of a built-in function or a word of Python ends with `_` there: the
    command `list` is `list_` in module `list_`. A hyphen in a name is `_`, too. Running one command
    imports its module only; listing the commands imports all of them.
    """

    def __init__(self, *args: object, package: str, **kwargs: object) -> None:
        """Args: `package`, the dotted name of the package that holds the commands."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._package = package

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, or None if the package has no such module."""
        if cmd_name not in self.commands and (name := self._modules().get(cmd_name)):
            module = import_module(f"{self._package}.{name}")
            self.add_command(getattr(module, name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name: what it needs is imported then."""
        name, command, rest = super().resolve_command(ctx, args)
        if not isinstance(command, PackageGroup):
            keep_imported()
        return name, command, rest

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in alphabetical order."""
        return sorted(self._modules())

    def _modules(self) -> dict[str, str]:
        """Return the module of each command, by its name."""
        found = iter_modules(import_module(self._package).__path__)
        return {each.name.removesuffix("_").replace("_", "-"): each.name for each in found}


class DefaultGroup(click.Group):
    """A group that runs its command `default` if the arguments name none of its commands."""

    def __init__(self, *args: object, default: str, **kwargs: object) -> None:
        """Args: `default`, the name of a command of the group."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command."""
        own = {*self.commands, *ctx.help_option_names}
        if args and args[0] not in own:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the completions of the group, with the options of the default command."""
        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return found
        command = self.commands[self.default]
        context = command.make_context(self.default, [], parent=ctx, resilient_parsing=True)
        known = {each.value for each in found}
        more = command.shell_complete(context, incomplete)
        return found + [each for each in more if each.value not in known]
