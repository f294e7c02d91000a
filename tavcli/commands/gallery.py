"""`tav gallery`: one HTML page of a workspace's edits."""

from pathlib import Path
from typing import Annotated

import typer

from tav.errors import SettingsError
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options
from tavcli.export.gallery import finished, write
from tavcli.units import size

# More than people like to send, or a browser to hold.
_LARGE = 50_000_000


def gallery(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to, instead of gallery.html there.")
    ] = None,
) -> None:
    """Write one HTML page that shows the workspace's finished edits, side by side if wanted. It needs no server."""
    options: Options = context.obj
    out = Output(options)
    workspace = options.workspace()
    path = _place(output or workspace.folder / "gallery.html")
    edits, unfinished = finished(workspace)
    if unfinished:
        out.say(f"left out: {unfinished} that {'is' if unfinished == 1 else 'are'} not finished")
    if options.dry_run:
        out.result({"path": str(path), "edits": len(edits)}, [f"{short(path)}: {_edits(len(edits))}"])
        return
    (written,) = out.follow(write(workspace, edits, path))
    out.say(f"{_edits(written.edits)}, {size(written.size)}")
    if written.size > _LARGE:
        out.warn(f"the page has {size(written.size)}: some browsers will be slow with it")
    out.result({"path": str(path), "edits": written.edits, "size": written.size}, [short(path)])


def _place(path: Path) -> Path:
    """Refuses what would take the place of something else than a page."""
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise SettingsError(f"-o {path}: a gallery is an .html file", "name it so: -o gallery.html")
    return path.resolve()


def _edits(number: int) -> str:
    return "1 edit" if number == 1 else f"{number} edits"
