"""`tav bases use`: another base for a workspace, after saying what becomes stale and what each way to go on costs."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tav.errors import TavError
from tavcli.commands.console import Talk
from tavcli.commands.options import Options
from tavcli.methods.forecast import Forecast
from tavcli.methods.switch_base import Rebasing, Way
from tavcli.text import plain
from tavcli.units import clock


def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A name of `tav bases list`, or a folder.")],
    carry_over: Annotated[
        bool, typer.Option("--carry-over", help="Put what tuning changed on the new base, instead of tuning it again.")
    ] = False,
) -> None:
    """Choose another base for this workspace. What was made with the old one stays, and is fresh with it again."""
    options: Options = context.obj
    talk = Talk(options)
    rebasing = Rebasing(options.workspace(), name, options.flags())
    again, carrying, refusal = rebasing.again(), *_carrying(rebasing)
    if carry_over and refusal is not None:
        raise refusal
    stale = rebasing.stale()
    lines = [f"base: {rebasing.was} -> {rebasing.base}", f"becomes stale: {', '.join(stale) or 'nothing'}"]
    lines += [_again(again), _carried(carrying, refusal)]
    for line in lines:
        talk.say(plain(line))
    if carry_over and rebasing.other_target:
        talk.warn(f"{plain(rebasing.other_target)}: look at one edit before paying for many")
    facts: dict[str, Any] = {"base": rebasing.base, "was": rebasing.was, "folder": str(rebasing.new.parts.folder)}
    facts |= {"stale": stale, "tune_again": _facts(again), "carry_over": _facts(carrying)}
    facts["refused"] = refusal.message if refusal else None
    if not options.dry_run:
        for change in rebasing.go(carry_over):
            talk.say(f"tav.toml: {change}")
    talk.result(facts, [] if options.dry_run else [rebasing.base])


def _carrying(rebasing: Rebasing) -> tuple[Way | None, TavError | None]:
    try:
        return rebasing.carrying(), None
    except TavError as error:
        return None, error


def _again(way: Way) -> str:
    if way.tuned == "fresh":
        return f"the tuned weights for it are there already{_inversion(way)}"
    return f"tuning again: {clock(round(way.seconds))} in all; {way.tune}"


def _carried(way: Way | None, refusal: TavError | None) -> str:
    if way is None:
        return f"carrying over is not possible: {refusal.message if refusal else ''}"
    return f"carrying over (--carry-over): nothing is tuned{_inversion(way)}"


def _inversion(way: Way) -> str:
    return f"; the inversion: {way.invert}" if way.invert else ", and so is the inversion"


def _facts(way: Way | None) -> dict[str, Any] | None:
    if way is None:
        return None
    return {
        "tuned": way.tuned,
        "inverted": way.inverted,
        "seconds": round(way.seconds, 1),
        "tune": _needs(way.tune),
        "invert": _needs(way.invert),
    }


def _needs(forecast: Forecast | None) -> dict[str, Any] | None:
    return None if forecast is None else asdict(forecast)
