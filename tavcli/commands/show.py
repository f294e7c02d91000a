"""`tav ls` and `tav show`: what is in a workspace, and how it was made."""

import re
from pathlib import Path
from typing import Annotated, Any

import tomlkit
import typer

from tav.errors import BaseModelError, SettingsError, TavError
from tav.settings import BaseRecommendation
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options
from tavcli.config.files import read_json
from tavcli.config.settings import WorkspaceSettings, in_force
from tavcli.methods.invert import inverted_stage
from tavcli.methods.tune import tuned_stage
from tavcli.queue.queue import Queue
from tavcli.text import printable
from tavcli.workspace import external
from tavcli.workspace.edits import JOB, RECIPE, Edit, all_edits, find_edit
from tavcli.workspace.folder import Workspace
from tavcli.workspace.recipes import as_toml, checked, command
from tavcli.workspace.session import Session
from tavcli.workspace.stages import GIVEN, Stage

_EDIT = re.compile(r"[0-9]+(-[a-z0-9-]*)?")
_NEXT = {
    "queued": "`tav work` makes it",
    "running": "it is being made",
    "paused": "`tav queue resume {}` goes on",
    "failed": "`tav queue ls` says why, `tav queue retry {}` queues it again",
    "cancelled": "`tav queue retry {}` queues it again",
    "interrupted": "`tav queue resume {}` goes on",
}


def ls(context: typer.Context) -> None:
    """List the edits of the workspace."""
    options: Options = context.obj
    out = Output(options)
    workspace = options.workspace()
    edits = all_edits(workspace)
    states = _states(workspace, edits)
    rows = [_row(edit, states[edit.number]) for edit in edits]
    if not rows and not options.json:
        out.say('no edits yet: tav edit "a new caption"')
        return
    columns = {"number": "edit", "state": "state", "prompt": "prompt", "guidance_scale": "guidance", "steps": "steps"}
    data = [row | {"video": str(row["video"])} for row in rows]
    out.table(
        data,
        [*columns.values(), "start"],
        [[printable(str(row[name])) for name in (*columns, "start")] for row in rows],
    )


def show(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="ID|FILE", help="An edit's number or folder name, or what tav wrote.")
    ] = None,
) -> None:
    """Print an edit's recipe, or that in a file; without either, the workspace's settings and stages."""
    options: Options = context.obj
    out = Output(options)
    if name is None:
        _show_workspace(options, out)
    elif _is_file(name):
        _show_file(Path(name), out)
    else:
        workspace = options.workspace()
        _show_edit(workspace, find_edit(workspace, name), out)


def _is_file(name: str) -> bool:
    """What looks like an edit's number or folder name is one; `./0001-x` is a path."""
    path = Path(name)
    return name != "" and not _EDIT.fullmatch(name) and (path.suffix != "" or path.exists())


def _show_file(path: Path, out: Output) -> None:
    """Needs no workspace, and runs nothing: anyone can write a recipe."""
    from tav.video import read_recipe
    from tav.video.ffmpeg import one_line

    where = one_line(path)
    recipe = read_recipe(path)
    if recipe is None:
        raise SettingsError(f"{where} has no recipe in it", "`tav edit -o` writes files that have one")
    again = command(checked(recipe, where), None if path.suffix == ".toml" else path.name)
    out.say(f"{where}; to make it again, in a workspace of the same clip, base and tuning: {again}")
    out.result({**recipe, "file": str(path), "command": again}, [as_toml(recipe)])


def _show_edit(workspace: Workspace, edit: Edit, out: Output) -> None:
    recipe = edit.recipe
    state = _states(workspace, [edit])[edit.number]
    words = _NEXT[state].format(edit.number) if state in _NEXT else _again(workspace, edit, recipe)
    out.say(f"{short(edit.folder)} ({state}); {words}")
    out.result({**recipe, "state": state, "made": _made(edit)}, [as_toml(recipe)])


def _again(workspace: Workspace, edit: Edit, recipe: dict[str, Any]) -> str:
    """How to make the same video again, or why tav.toml as it is now would make another one."""
    needed = checked(recipe, f"{edit.folder.name}/{RECIPE}")
    try:
        tuned = tuned_stage(Session(workspace, {"precision": needed.precision}))
    except TavError as error:
        return f"it cannot be made again as things are: {error.message}"
    if tuned.key != recipe["tuned"]["key"]:
        return "tav.toml or the base have changed since: the same command would now make another video"
    return f"to make it again: {command(needed)}"


def _show_workspace(options: Options, out: Output) -> None:
    workspace = options.workspace()
    settings_in_force, stages, unknown = _what_is_there(workspace, options)
    edits = all_edits(workspace)
    done = sum(edit.done for edit in edits)
    data: dict[str, Any] = {
        "workspace": str(workspace.folder),
        "settings": settings_in_force.model_dump(mode="json"),
        "stages": stages,
        "edits": {"done": done, "unfinished": len(edits) - done},
    }
    settings = tomlkit.dumps(_without_none(data["settings"])).rstrip()
    lines = [f"# {workspace.folder}", settings, ""]
    lines += [f"# {name}: {stage['state']}{stage.get('why', '')} ({stage['key']})" for name, stage in stages.items()]
    out.result(data, [*lines, f"# edits: {done} done, {len(edits) - done} unfinished"])
    if unknown:
        out.warn(f"what is fresh cannot be told: {unknown}")


def _what_is_there(workspace: Workspace, options: Options) -> tuple[WorkspaceSettings, dict[str, Any], str]:
    """Settings, stages by name, and why these are unknown. Without its base or clip a workspace still has its past."""
    try:
        session = Session(workspace, options.flags())
    except BaseModelError as error:
        return in_force(workspace.read(), options.flags(), BaseRecommendation()), {}, error.message
    try:
        stages = (tuned_stage(session), inverted_stage(session, session.settings.invert.steps))
    except SettingsError as error:
        return session.settings, {}, error.message
    return session.settings, {one.name: {"state": one.state, "key": one.key, **_why(one)} for one in stages}, ""


def _why(stage: Stage) -> dict[str, str]:
    if way := external.way(stage):
        there = external.in_words(way, external.carried_from(stage))
        words = there if stage.state == "fresh" else f"what was {GIVEN[way]} is not there"
        return {"why": f", {printable(words)}"}
    why = stage.why_stale() if stage.state == "stale" else ""
    return {"why": f", {why}"} if why else {}


def _row(edit: Edit, state: str) -> dict[str, Any]:
    recipe = edit.recipe
    start = "inverted" if recipe["inversion"] else f"noise, seed {recipe['seed']}"
    if recipe["inversion"] and recipe["vary"]:
        start = f"varied {recipe['vary']:g}, seed {recipe['seed']}"
    if "carried" in recipe.get("tuned", {}):
        start += f", {external.in_words('carried', recipe['tuned'].get('from'))}"
    shown = {name: recipe[name] for name in ("prompt", "guidance_scale", "steps")}
    return {"number": edit.number, "state": state, **shown, "start": start, "video": edit.video}


def _states(workspace: Workspace, edits: list[Edit]) -> dict[int, str]:
    """By number; the queue knows those that were queued."""
    states = {edit.number: "done" if edit.done else "unfinished" for edit in edits}
    if any(not edit.done and (edit.folder / JOB).is_file() for edit in edits):
        rows = Queue(workspace).rows()
        states |= {row.number: row.state for row in rows if row.kind == "edit" and row.summary.request}
    return states


def _made(edit: Edit) -> dict[str, Any]:
    path = edit.folder / "made.json"
    return read_json(path) if path.exists() else {}


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }
