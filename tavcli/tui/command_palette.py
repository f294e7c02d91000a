"""The commands that are available now, for the command palette and the help.

A command is a `Binding` with a tooltip, and a method: `Binding("x", "delete", "Delete", tooltip="Move the edit to the
trash")` and `action_delete`. The binding's description is the footer's text; the tooltip says in a sentence what the
command does. A binding without a tooltip (of an arrow key, say) is no command and is not listed.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode
from textual.screen import Screen

# The command that opens the palette: the palette does not list it.
_SELF = "command_palette"


@dataclass(frozen=True)
class Command:
    """One command: where it acts, its keys, what the footer says, and what it does."""

    node: DOMNode
    action: str
    name: str
    tooltip: str
    keys: tuple[str, ...]


def commands(screen: Screen[Any]) -> list[Command]:
    """The commands of the focused widget, of the widgets around it and of the screen, the nearest first."""
    found: dict[tuple[DOMNode, str], list[ActiveBinding]] = {}
    for active in screen.active_bindings.values():
        if active.tooltip and active.enabled and active.binding.action != _SELF:
            found.setdefault((active.node, active.binding.action), []).append(active)
    return [_command(same) for same in found.values()]


def _command(same: list[ActiveBinding]) -> Command:
    first = same[0]
    # Several keys may be shown as one.
    keys = dict.fromkeys(first.node.app.get_key_display(active.binding) for active in same)
    return Command(first.node, first.binding.action, first.binding.description, first.tooltip, tuple(keys))


class Palette(Provider):
    """The entries of the command palette (Ctrl+P)."""

    async def discover(self) -> Hits:
        for command in commands(self.screen):
            yield DiscoveryHit(_title(command), self._run(command), help=command.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in commands(self.screen):
            title = _title(command)
            score = max(matcher.match(title), matcher.match(command.tooltip) / 2)
            if score > 0:
                yield Hit(score, matcher.highlight(title), self._run(command), text=title, help=command.tooltip)

    def _run(self, command: Command) -> Any:
        return partial(self.app.run_action, command.action, command.node)


def _title(command: Command) -> str:
    return f"{command.name}  ({', '.join(command.keys)})"
