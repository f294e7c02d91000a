"""`tav tune`, `tav invert`, `tav edit`: the main job. Each makes first what it builds on, after saying so."""

from typing import Annotated, Any

import typer

from tavcli.commands.console import Output, checked, short
from tavcli.commands.options import Options
from tavcli.commands.prompt_checks import refuse_odd_texts, warn_of_cut_text, warn_of_unknown_words
from tavcli.config.files import Layer
from tavcli.config.settings import without_none
from tavcli.events import Checked
from tavcli.export import video
from tavcli.interrupts import Interrupted
from tavcli.methods.edit import make_edits
from tavcli.methods.forecast import Forecast, Forecaster
from tavcli.methods.invert import inverted_stage, make_inverted
from tavcli.methods.tune import make_tuned, steps_done, tuned_stage
from tavcli.units import size
from tavcli.workspace.edits import Edit
from tavcli.workspace.external import carried_from, refuse_given, refuse_lost, way
from tavcli.workspace.session import Session
from tavcli.workspace.stages import Stage

# Said otherwise: in the line below, or by the line as a whole.
_NOT_SHOWN = ("stage", "run", "state", "recompute", "memory", "free_memory", "disk", "seconds", "needs")

Steps = Annotated[int | None, typer.Option(metavar="N", help="DDIM steps of inversion and sampling.")]


def tune(
    context: typer.Context,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Optimiser steps; more than before extend the run.")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="Learning rate.")] = None,
    scope: Annotated[str | None, typer.Option(metavar="all|mid_up", help="Which blocks learn.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again from step 0.")] = False,
) -> None:
    """Teach the base this clip. Resumes by itself; settings given here are written into tav.toml."""
    options: Options = context.obj
    out = Output(options)
    refuse_given(options.workspace().read())
    session = _open(options, out, {"tune": without_none({"steps": steps, "learning_rate": lr, "scope": scope})})
    stage = tuned_stage(session)
    if options.dry_run:
        out.result(*_plan([_will_tune(session, fresh)]))
        return
    if stage.state == "fresh" and not fresh:
        out.say("the tuned weights are fresh: nothing to do (--fresh starts again)")
    warn_of_cut_text(session.parts, out, [session.settings.caption])
    try:
        out.follow(make_tuned(session, fresh))
    except Interrupted:
        raise Interrupted("`tav tune`, without --fresh, goes on where it was" if fresh else "") from None
    out.result({"stage": "tuned", "key": stage.key, "file": str(stage.result)}, [short(stage.result)])
    out.detail(f"{size(stage.result.stat().st_size)}; its resume state is kept, `tav clean` removes it")


def invert(
    context: typer.Context,
    steps: Steps = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not sample the clip back and score it.")] = False,
) -> None:
    """Find the noise that gives the clip back. Settings given here are written into tav.toml."""
    options: Options = context.obj
    out = Output(options)
    session = _open(options, out, {"invert": without_none({"steps": steps})})
    steps, check = session.settings.invert.steps, session.settings.invert.check and not no_check
    if options.dry_run:
        out.result(*_plan([_will_tune(session), _will_invert(session, steps, check)]))
        return
    _make_tuned(session, out)
    stage = inverted_stage(session, steps)
    if stage.state == "fresh" and (stage.score or not check):
        out.say("the inversion is fresh: nothing to do")
    _follow_inversion(session, out, steps, check)
    out.result({"stage": "inverted", "key": stage.key, "file": str(stage.result), **stage.score}, [short(stage.result)])


def edit(
    context: typer.Context,
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="New captions; one video each.")],
    negative: Annotated[str | None, typer.Option(metavar="TEXT", help="What the video should not show.")] = None,
    guidance: Annotated[
        float | None, typer.Option(metavar="X", help="How strongly the prompt acts; 1 is no guidance.")
    ] = None,
    steps: Steps = None,
    vary: Annotated[float | None, typer.Option(metavar="S", help="Share of fresh noise in the start, 0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of that noise.")] = None,
    inversion: Annotated[
        bool | None, typer.Option("--inversion/--no-inversion", help="Start from the clip, or from noise alone.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="NAME", help="Write it there too: .mp4, .webm, .gif, .webp, or a folder."
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", metavar="source", help="The file of -o at the size of the clip's own.")
    ] = None,
) -> None:
    """Make the clip's video for a new caption. Tunes and inverts first where that is missing or stale."""
    options: Options = context.obj
    out = Output(options)
    there = video.place(output, scale, prompts)
    refuse_odd_texts(prompts, negative)
    sampling = {"negative_prompt": negative, "guidance_scale": guidance, "vary": vary, "seed": seed}
    flags: Layer = {"sample": without_none({**sampling, "inversion": inversion})}
    flags |= {"invert": without_none({"steps": steps}), **options.flags()}
    session = Session(options.workspace(), flags, wait=not options.no_wait)
    settings, steps = session.settings.sample, session.settings.invert.steps
    if seed is not None and settings.vary == 0 and settings.inversion:
        out.warn("a seed changes nothing without --vary or --no-inversion")
    warn_of_unknown_words(session.parts, out, [*prompts, settings.negative_prompt], session.settings.caption)
    if options.dry_run:
        out.result(*_plan(_will_edit(session, prompts)))
        return
    warn_of_cut_text(session.parts, out, [*prompts, settings.negative_prompt])
    _make_tuned(session, out)
    if settings.inversion and inverted_stage(session, steps).state != "fresh":
        out.say(_because("inverting the clip first", inverted_stage(session, steps)))
        _follow_inversion(session, out, steps, session.settings.invert.check)
    made = [one for one in out.follow(make_edits(session, prompts, settings, steps)) if isinstance(one, Edit)]
    if there is not None:
        video.write(session, made[0], there, scale)
    made.sort(key=lambda one: one.number)
    data = [{"number": one.number, "prompt": one.recipe["prompt"], "video": str(one.video)} for one in made]
    out.result(data, [short(one.video) for one in made])


def _open(options: Options, out: Output, flags: Layer) -> Session:
    """The session with these flags in force; they are written down, so that the next command finds the same stage."""
    workspace = options.workspace()
    flags = {name: values for name, values in flags.items() if values} | options.flags()
    session = Session(workspace, flags, wait=not options.no_wait)
    if not options.dry_run:
        device_free = {name: value for name, value in flags.items() if name != "device"}
        for change in workspace.remember(device_free):
            out.say(f"tav.toml: {change}")
    return session


def _make_tuned(session: Session, out: Output) -> None:
    stage = tuned_stage(session)
    refuse_lost(stage)
    if stage.state != "fresh":
        out.say(_because("tuning first", stage))
        out.follow(make_tuned(session))


def _follow_inversion(session: Session, out: Output, steps: int, check: bool) -> None:
    for result in out.follow(make_inverted(session, steps, check)):
        if isinstance(result, Checked):
            out.say(checked(result))
            if result.vae_psnr - result.psnr > 6:
                out.warn("the inversion loses much of the clip; look at the sheet before paying for edits")


def _because(what: str, stage: Stage) -> str:
    if stage.state == "missing":
        return f"{what} (not done yet)"
    why = stage.why_stale()
    return f"{what} (what is there is for other settings{': ' + why if why else ''})"


def _will_tune(session: Session, fresh: bool = False) -> dict[str, Any]:
    stage = tuned_stage(session)
    refuse_lost(stage)
    state = "stale" if fresh else stage.state
    row: dict[str, Any] = {"stage": "tune", "state": state, "run": state != "fresh"}
    if given := way(stage):
        return row | {given: stage.inputs[given]} | ({"from": name} if (name := carried_from(stage)) else {})
    steps = session.settings.tune.steps
    row |= {"steps": steps}
    if state == "fresh":
        return row
    return row | _needs(Forecaster(session).tune(steps - (0 if fresh else steps_done(stage))))


def _needs(forecast: Forecast) -> dict[str, Any]:
    rung = {} if forecast.rung is None else {"recompute": forecast.rung}
    found = {"memory": forecast.memory, "free_memory": forecast.free, "disk": forecast.disk}
    return {**rung, **found, "seconds": round(forecast.seconds, 1), "needs": str(forecast)}


def _will_invert(session: Session, steps: int, check: bool) -> dict[str, Any]:
    # Weights that are still to be tuned make any inversion stale.
    tuned, inverted = tuned_stage(session), inverted_stage(session, steps)
    state = inverted.state if tuned.state == "fresh" or inverted.state != "fresh" else "stale"
    row = {"stage": "invert", "state": state, "run": state != "fresh", "steps": steps, "check": check}
    return row if state == "fresh" else row | _needs(Forecaster(session).invert(steps, check, steps))


def _will_edit(session: Session, prompts: list[str]) -> list[dict[str, Any]]:
    settings, invert = session.settings.sample, session.settings.invert
    plan = [_will_tune(session)]
    if settings.inversion:
        plan.append(_will_invert(session, invert.steps, invert.check))
    edit = {"stage": "edit", "steps": invert.steps, **settings.model_dump()}
    edit |= _needs(Forecaster(session).edit(invert.steps, 1, settings.guidance_scale != 1))
    return [*plan, *({**edit, "prompt": prompt} for prompt in prompts)]


def _plan(plan: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    lines = []
    for item in plan:
        rest = ", ".join(f"{name} {value}" for name, value in item.items() if name not in _NOT_SHOWN)
        does = "nothing to do, fresh" if item.get("state") == "fresh" else f"would run ({item.get('state', 'new')})"
        needs = f"\n  {item['needs']}" if "needs" in item else ""
        lines.append(f"{item['stage']}: {does}; {rest}{needs}")
    return plan, lines
