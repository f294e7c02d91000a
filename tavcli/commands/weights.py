"""`tav import` and `tav export`: tuned weights from and for the official Tune-A-Video code."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from tav.errors import SettingsError
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options
from tavcli.export import weights
from tavcli.methods.import_weights import keep_weights, read_weights
from tavcli.units import size
from tavcli.workspace.session import Session


def import_(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An official pipeline's folder, or a slim file (.pth).")],
) -> None:
    """Take tuned weights of the official code, or of its forks, into the workspace, instead of tuning."""
    options: Options = context.obj
    out = Output(options)
    session = Session(options.workspace(), options.flags())
    out.say(f"reading {path} and comparing it with the base")
    foreign, stage = read_weights(session, path)
    if foreign.rounded:
        out.warn("the base equals the one it was tuned on only up to rounding: one of the two is in half precision")
    if session.settings.frame_attention != "sparse-causal":
        out.warn(f"it was tuned with sparse-causal frame attention, not with {session.settings.frame_attention}")
    out.say(f"{foreign.layout} of {len(foreign.tensors)} tuned tensors, {size(foreign.bytes)}")
    if not options.dry_run:
        keep_weights(session, foreign, stage, path)
        out.say("in force (`imported` in tav.toml; without it, `tav tune` makes the weights); next: tav edit PROMPT")
    facts: dict[str, Any] = {"layout": foreign.layout, "tensors": len(foreign.tensors), "size": foreign.bytes}
    result = {"stage": "tuned", "key": stage.key, "file": str(stage.result), "imported": foreign.digest, **facts}
    out.result(result, [] if options.dry_run else [short(stage.result)])


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="PATH", help="The folder, or the .pth file, to make.")],
    form: Annotated[
        str, typer.Option("--format", metavar="official|slim", help="A whole pipeline, or the tuned weights alone.")
    ],
) -> None:
    """Write the tuned weights as the official code reads them. Nothing is overwritten."""
    options: Options = context.obj
    out = Output(options)
    if form not in ("official", "slim"):
        raise SettingsError(
            f"there is no format `{form}`", "formats: official (a pipeline's folder), slim (a .pth file)"
        )
    form = cast(weights.Format, form)
    session = Session(options.workspace(), options.flags())
    needed = weights.plan(session, form, target)
    out.say(f"{target}: about {size(needed)}")
    if not options.dry_run:
        out.follow(weights.write(session, form, target))
    out.result(
        {"format": form, "path": str(target.resolve()), "size": needed}, [] if options.dry_run else [str(target)]
    )
