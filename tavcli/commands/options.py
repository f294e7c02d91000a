"""The flags that every command takes, before or after its name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tavcli.workspace.folder import Workspace, find

_SWITCHES = {"--json", "--dry-run", "--no-wait", "-q", "--quiet", "-v", "--verbose"}
_WITH_VALUE = {"-C", "--workspace", "--device", "--precision"}


# A flag with its value in one word, or several short switches.
_GLUED = re.compile(r"(--workspace|--device|--precision)=.*|-C.+|-[qv]{2,}", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """The global flags of this call."""

    folder: Path | None = None
    device: str | None = None
    precision: str | None = None
    json: bool = False
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    no_wait: bool = False

    def workspace(self) -> Workspace:
        """The workspace this call is about. Raises NewerFormatError when it is one of a later tav."""
        workspace = find(Path.cwd(), self.folder)
        workspace.refuse_newer()
        return workspace

    def flags(self) -> dict[str, Any]:
        """Those that are settings."""
        given = {"device": self.device, "precision": self.precision}
        return {name: value for name, value in given.items() if value is not None}

    def words(self) -> tuple[str, ...]:
        """The same, as they are typed."""
        return tuple(word for name, value in self.flags().items() for word in (f"--{name}", value))


def globals_first(arguments: list[str]) -> list[str]:
    """Move global flags in front of the command's name, where the parser wants them; `--` ends the search."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first: list[str] = []
    rest: list[str] = []
    index = 0
    while index < end:
        argument = arguments[index]
        takes_next = argument in _WITH_VALUE and index + 1 < end
        known = argument in _SWITCHES or takes_next or _GLUED.fullmatch(argument) is not None
        width = 2 if takes_next else 1
        (first if known else rest).extend(arguments[index : index + width])
        index += width
    return [*first, *rest, *arguments[end:]]
