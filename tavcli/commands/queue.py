"""`tav queue`: what is to be made. Nothing here waits for a render; `tav work` or `tav ui` does the work."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.atomic import read_text
from tav.errors import SettingsError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.commands.prompt_checks import refuse_odd_texts, warn_of_unknown_words
from tavcli.methods.invert import inverted_stage
from tavcli.methods.tune import tuned_stage
from tavcli.queue import estimates, grid
from tavcli.queue.batch import Batch, made_into_requests, session_for, stage_request
from tavcli.queue.jobs import JobRequest, Kind
from tavcli.queue.queue import Queue, Row
from tavcli.queue.workers import living_workers
from tavcli.text import printable
from tavcli.units import duration
from tavcli.workspace.session import Session

app = typer.Typer(help="Jobs that wait for a worker: add, list, pause, move, retry.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="JOB", help="A number of `tav queue ls`, or a name like tune-1.")]
SomeNames = Annotated[list[str] | None, typer.Argument(metavar="[JOB]", help="Jobs; without any, the whole queue.")]


@app.command()
def add(
    context: typer.Context,
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="New captions; {cat,robot} stands for either.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Prompts, one a line.")] = None,
    negative: Annotated[str | None, typer.Option(metavar="TEXT", help="What the videos should not show.")] = None,
    guidance: Annotated[str | None, typer.Option(metavar="X,...", help="How strongly the prompt acts.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="DDIM steps of inversion and sampling.")] = None,
    vary: Annotated[str | None, typer.Option(metavar="S,...", help="Shares of fresh noise in the start.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="N..M", help="Seeds of that noise: 1..4, or 1,5,9.")] = None,
    inversion: Annotated[
        bool | None, typer.Option("--inversion/--no-inversion", help="Start from the clip, or from noise alone.")
    ] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="A preset for these alone: paper, draft, ...")] = "",
    base: Annotated[str, typer.Option(metavar="NAME|PATH", help="A base for these alone.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Queue a grid without asking.")] = False,
) -> None:
    """Queue one edit for each prompt, and for each combination of the lists given."""
    options: Options = context.obj
    out = Output(options)
    texts = [*(prompts or []), *(_lines(file) if file else [])]
    if not texts:
        raise SettingsError("no prompt", "say what the new videos show, or name a file with --file")
    refuse_odd_texts(texts, negative)
    batch = Batch(
        tuple(texts),
        negative,
        steps=steps,
        inversion=inversion,
        preset=preset,
        base=base,
        flags=options.flags(),
        guidance=guidance or "",
        vary=vary or "",
        seed=seed or "",
    )
    session = session_for(options.workspace(), batch)
    wanted = made_into_requests(session, batch)
    settings, prompts_of = session.settings, dict.fromkeys(str(one.recipe["prompt"]) for one in wanted if one.recipe)
    warn_of_unknown_words(session.parts, out, [*prompts_of, settings.sample.negative_prompt], settings.caption)
    _add(options, out, session, wanted, ask=len(wanted) > len(texts) and not yes)


@app.command()
def tune(context: typer.Context) -> None:
    """Queue the tuning of this clip by the settings in tav.toml."""
    _add_stage(context.obj, "tune")


@app.command()
def invert(context: typer.Context) -> None:
    """Queue the inversion of this clip, and its check."""
    _add_stage(context.obj, "invert")


def _add_stage(options: Options, kind: Kind) -> None:
    session = Session(options.workspace(), options.flags())
    _add(options, Output(options), session, [stage_request(session, kind)], ask=False)


def _add(options: Options, out: Output, session: Session, wanted: list[JobRequest], ask: bool) -> None:
    queue = Queue(session.workspace)
    ask = ask and sys.stdin.isatty() and not options.json
    if options.dry_run or ask:
        first, wanted = _forecast(session, wanted)
        seconds = first + sum(request.seconds or 0 for request in wanted)
        out.say(f"{_count(len(wanted), 'job')}, about {duration(seconds)}{_of_which(first)}")
        if options.dry_run:
            out.result({"jobs": len(wanted), "seconds": round(seconds, 1)})
            return
        if not typer.confirm("queue them?", err=True):
            return
    added, twins = queue.add(wanted)
    for row in twins:
        out.say(f"job {row.name} is this very one already ({row.state})")
    if added and not living_workers(session.workspace):
        out.say("`tav work` does what is queued, `tav ui` too")
    out.result([_data(row) for row in added], [f"{row.name}\t{printable(row.summary.title)}" for row in added])


def _forecast(session: Session, wanted: list[JobRequest]) -> tuple[float, list[JobRequest]]:
    """Seconds of what has to be made first, and the requests with their own: as measured here, else counted."""
    from tavcli.methods.forecast import Forecaster

    forecaster, steps, settings = Forecaster(session), session.settings.invert.steps, session.settings
    tuning = tuned_stage(session).state != "fresh" and "tune" in tuned_stage(session).inputs
    inverting = settings.sample.inversion and (tuning or inverted_stage(session, steps).state != "fresh")
    tune = forecaster.tune(settings.tune.steps).seconds if tuning else 0.0
    invert = forecaster.invert(steps, settings.invert.check, steps).seconds if inverting else 0.0

    def seconds(request: JobRequest) -> float:
        if request.recipe is None:
            return tune if request.kind == "tune" else tune + invert
        return forecaster.edit(steps, 1, request.recipe["guidance_scale"] != 1).seconds

    first = tune + invert if any(request.recipe for request in wanted) else 0.0
    return first, [replace(request, seconds=round(seconds(request), 1)) for request in wanted]


def _of_which(first: float) -> str:
    return f", of which {duration(first)} for tuning and inversion first" if first else ""


@app.command("ls")
def list_jobs(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also what is done.")] = False,
) -> None:
    """List the jobs: what runs, what waits and for how long, what failed."""
    options: Options = context.obj
    out = Output(options)
    queue = Queue(options.workspace())
    rows, workers = queue.rows(), living_workers(queue.workspace)
    times = {one.row.id: one for one in estimates.waiting(rows, workers, time.time())}
    shown = [row for row in rows if every or row.state != "done"]
    if not options.json:
        _say_how_it_stands(out, queue, rows, bool(workers), list(times.values()))
    columns = ["job", "state", "what", "settings", "left"]
    cells = [
        [row.name, row.state, printable(row.summary.title), _settings(row), _left(times.get(row.id))] for row in shown
    ]
    data = [_data(row) | {"left": times[row.id].left if row.id in times else None} for row in shown]
    if shown or options.json:
        out.table(data, columns, cells)
    for row in shown:
        if row.summary.error:
            out.say(f"job {row.name}: {printable(row.summary.error)}")
            out.say(f"  {printable(row.summary.hint)}")


def _say_how_it_stands(
    out: Output, queue: Queue, rows: list[Row], worked: bool, times: list[estimates.Waiting]
) -> None:
    waiting = sum(row.state == "queued" for row in rows)
    ends = [one.left for one in times if one.left is not None]
    words = [_count(waiting, "job") + " queued", f"{sum(row.state == 'done' for row in rows)} done"]
    words += [f"about {duration(max(ends))} left"] if ends and all(one.own is not None for one in times) else []
    words += ["paused (`tav queue resume`)"] if queue.paused else []
    words += [] if worked or not waiting else ["no worker (`tav work`)"]
    out.say(", ".join(words))


@app.command()
def pause(context: typer.Context, names: SomeNames = None) -> None:
    """Hold jobs, or the whole queue: what runs is saved, and the worker gives the memory back."""
    options: Options = context.obj
    queue = Queue(options.workspace())
    if names:
        _changed(options, queue.pause(names), "paused")
        return
    queue.hold()
    Output(options).say("the queue is paused; `tav queue resume` goes on")


@app.command()
def resume(context: typer.Context, names: SomeNames = None) -> None:
    """Go on with paused or interrupted jobs, or with the whole queue."""
    options: Options = context.obj
    queue = Queue(options.workspace())
    if names and queue.paused:
        Output(options).warn("the whole queue is paused too: `tav queue resume`")
    _changed(options, queue.resume(names) if names else queue.release(), "queued")


@app.command()
def cancel(context: typer.Context, names: Names) -> None:
    """Do not make these; what runs is stopped."""
    options: Options = context.obj
    _changed(options, Queue(options.workspace()).cancel(names), "cancelled")


@app.command()
def retry(context: typer.Context, names: Names) -> None:
    """Queue again what failed, was cancelled or interrupted; it goes on from what was saved."""
    options: Options = context.obj
    _changed(options, Queue(options.workspace()).retry(names), "queued")


@app.command()
def move(
    context: typer.Context,
    names: Names,
    to: Annotated[str, typer.Option("--to", metavar="PLACE", help="first, last, or a place: 1 is next.")] = "first",
) -> None:
    """Change the order: put jobs at another place among those that wait."""
    options: Options = context.obj
    places = {"first": 1, "last": -1}
    place = places[to] if to in places else grid.whole_numbers(to, "--to")[0]
    if place == 0:
        raise SettingsError("--to 0: places are counted from 1", "1 is next, `last` the end of the queue")
    _changed(options, Queue(options.workspace()).move(names, place), "moved")


def _changed(options: Options, rows: list[Row], word: str) -> None:
    words = [f"{row.name}\t{'will be ' if row.state == 'running' else ''}{word}" for row in rows]
    Output(options).result([_data(row) for row in rows], words)


def _data(row: Row) -> dict[str, Any]:
    return {"job": row.name, "kind": row.kind, "state": row.state, "folder": row.id, **row.summary.as_json()}


def _settings(row: Row) -> str:
    known = row.summary
    if known.guidance is None:
        return ""
    start = [f"vary {known.vary:g} seed {known.seed}"] if known.vary else []
    start += [] if known.inversion else [f"noise seed {known.seed}"]
    return ", ".join([f"guidance {known.guidance:g}", f"{known.steps} steps", *start])


def _left(one: estimates.Waiting | None) -> str:
    return "" if one is None or one.left is None else duration(one.left)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _lines(file: Path) -> list[str]:
    """The prompts of a file, without empty lines and those that start with #."""
    try:
        text = read_text(file)
    except ValueError:
        raise SettingsError(f"{file} is not UTF-8 text", "save it as UTF-8, one prompt a line") from None
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
