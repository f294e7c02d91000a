"""What a person does in a workspace, and sees of it."""

from driving import settled, until
from textual.app import App
from textual.pilot import Pilot

from tavcli.tui.screens.workspace import WorkspaceScreen


def screen_of(app: App[None]) -> WorkspaceScreen:
    (found,) = [screen for screen in app.screen_stack if isinstance(screen, WorkspaceScreen)]
    return found


def states(app: App[None]) -> dict[str, str]:
    """State by name, in the order shown."""
    return {row.name: row.state for row in screen_of(app).jobs.rows}


async def choose(pilot: Pilot[None], name: str) -> None:
    jobs = screen_of(pilot.app).jobs
    jobs.choose(next(row.id for row in jobs.rows if row.name == name))
    await pilot.pause()


async def order(pilot: Pilot[None], words: str) -> None:
    """Type into the prompt panel, and queue."""
    await pilot.press("n", *words, "ctrl+s")
    await until(pilot, lambda: isinstance(pilot.app.screen, WorkspaceScreen))
    await settled(pilot)
