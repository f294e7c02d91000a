"""`tav bases use`: another base for a workspace, after saying what becomes stale and what each way to go on costs."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tav.errors import TavError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.methods.forecast import Forecast
from tavcli.methods.switch_base import BaseSwitch, Way
from tavcli.text import printable
from tavcli.units import duration


def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A name of `tav bases list`, or a folder.")],
    carry_over: Annotated[
        bool, typer.Option("--carry-over", help="Put what tuning changed on the new base, instead of tuning it again.")
    ] = False,
) -> None:
    """Choose another base for this workspace. What was made with the old one stays, and is fresh with it again."""
    options: Options = context.obj
    out = Output(options)
    switch = BaseSwitch(options.workspace(), name, options.flags())
    again, carrying, refusal = switch.again(), *_carrying(switch)
    if carry_over and refusal is not None:
        raise refusal
    stale = switch.stale()
    lines = [f"base: {switch.was} -> {switch.base}", f"becomes stale: {', '.join(stale) or 'nothing'}"]
    lines += [_again(again), _carried(carrying, refusal)]
    for line in lines:
        out.say(printable(line))
    if carry_over and switch.other_target:
        out.warn(f"{printable(switch.other_target)}: look at one edit before paying for many")
    facts: dict[str, Any] = {"base": switch.base, "was": switch.was, "folder": str(switch.new.parts.folder)}
    facts |= {"stale": stale, "tune_again": _facts(again), "carry_over": _facts(carrying)}
    facts["refused"] = refusal.message if refusal else None
    if not options.dry_run:
        for change in switch.go(carry_over):
            out.say(f"tav.toml: {change}")
    out.result(facts, [] if options.dry_run else [switch.base])


def _carrying(switch: BaseSwitch) -> tuple[Way | None, TavError | None]:
    try:
        return switch.carrying(), None
    except TavError as error:
        return None, error


def _again(way: Way) -> str:
    if way.tuned == "fresh":
        return f"the tuned weights for it are there already{_inversion(way)}"
    return f"tuning again: {duration(round(way.seconds))} in all; {way.tune}"


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
