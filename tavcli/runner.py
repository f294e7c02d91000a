"""Runs tuning and inversion in a workspace: what is missing or stale is made, kept, and never made twice.

Everything here yields events, the engine's and the session's; who iterates shows them. Files are written atomically,
long loops are saved every minute or 50 steps and when the user stops, so that the same command goes on where it was.
"""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tav
from tav.atomic import remove_leftovers, write_text
from tav.errors import CheckpointError, DeviceMemoryError
from tav.events import TuneStep
from tavcli import stages
from tavcli.edits import PARTIAL
from tavcli.forecasts import Forecaster, Stopwatch
from tavcli.interrupts import Interrupted, interrupts
from tavcli.keeping import SaveClock, kept, read_partial
from tavcli.locks import locked
from tavcli.session import Begin, Checked, Note, RunEvent, Session
from tavcli.stages import CHECK, LOG, STATE, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from tav.tuning import Tuning

CHECK_PARTIAL = "check-partial.safetensors"


# Tune -----------------------------------------------------------------------------------------------------------------


def tune(session: Session, fresh: bool = False) -> Iterator[RunEvent]:
    """Make the tuned weights: nothing if they are there, the rest of an interrupted or shorter run, or all of it.

    With `fresh` what is there is thrown away, but not before everything that the new run needs is loaded.
    """
    stage = session.tuned
    stages.refuse_lost_import(stage)
    with locked(session.workspace, f"tuned-{stage.key}"):
        if fresh or stage.state != "fresh":
            remove_leftovers(stage.folder)
            yield from _tune(session, stage, fresh)
        if (stage.folder / STATE).is_file():
            _forget_shorter(stage)


def _tune(session: Session, stage: Stage, fresh: bool) -> Iterator[RunEvent]:
    from tav.checkpoint import save_tuned
    from tav.tuning import Tuning
    from tav.tuning import tune as steps

    forecaster = Forecaster(session)
    forecast = forecaster.fitting(
        "tuning", forecaster.tune(session.settings.tune.steps - (0 if fresh else done(stage)))
    )
    yield Note(f"tuning: {forecast}")
    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([session.settings.caption])
    yield from session.load_video()
    tuning = Tuning(session.video, session.settings.tune, forecast.rung)
    if fresh:
        stage.discard()
        _forget_shorter(stage)
    log = yield from _resume(stage, tuning)
    stage.open()  # only now: until here bad input may have stopped us
    yield Begin("tuning", session.settings.tune.steps, tuning.step)
    with interrupts.deferred(), session.memory():
        watch, rung = Stopwatch(), tuning.rung
        try:
            yield from _tune_loop(stage, tuning, log, watch.watch(steps(tuning, encoded, context, session.schedule)))
        except DeviceMemoryError:  # the step that did not fit has changed nothing
            _save_state(stage, tuning, log)
            raise
        if tuning.rung == rung:
            forecaster.observed("learn", watch, rung)
        save_tuned(stage.result, session.video, _provenance(session, stage))


def _tune_loop(stage: Stage, tuning: "Tuning", log: list[str], events: Iterator[RunEvent]) -> Iterator[RunEvent]:
    clock = SaveClock()
    for event in events:
        yield event
        if not isinstance(event, TuneStep):
            continue
        log.append(json.dumps({"step": event.step, "loss": event.loss, "grad_norm": event.grad_norm}) + "\n")
        if interrupts.pending or clock.due() or event.step == event.total:
            _save_state(stage, tuning, log)
        if interrupts.pending:
            raise Interrupted


def _save_state(stage: Stage, tuning: "Tuning", log: list[str]) -> None:
    from tav.checkpoint import save_tensors

    # The log goes first: lines beyond the saved state are cut off on resume, missing ones could not be made up.
    write_text(stage.folder / LOG, "".join(log))
    save_tensors(stage.folder / STATE, "state", tuning.state(), {"step": tuning.step})


def _resume(stage: Stage, tuning: "Tuning") -> Generator[RunEvent, None, list[str]]:
    """Load the furthest state of this run, or of the same run with fewer steps; returns the log up to there."""
    from tav.checkpoint import read_tensors

    with _fresh_helps():
        folder = _furthest(stage)
        if folder is None:
            return []
        tuning.load_state(read_tensors(folder / STATE, "state")[0])
    yield Note(f"going on from step {tuning.step} of tuned/{folder.name}")
    log = folder / LOG
    return log.read_text(encoding="utf-8").splitlines(keepends=True)[: tuning.step] if log.is_file() else []


def done(stage: Stage) -> int:
    """Steps that an interrupted or shorter run has done already."""
    from tav.checkpoint import read_provenance

    with _fresh_helps():
        folder = _furthest(stage)
        return 0 if folder is None else int(read_provenance(folder / STATE, "state").get("step", 0))


@contextmanager
def _fresh_helps() -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(error.message, "`tav tune --fresh` starts again from step 0") from None


def _furthest(stage: Stage) -> Path | None:
    """The folder whose state has most steps done, this run's own if others have no more."""
    from tav.checkpoint import read_provenance

    folders = [folder for folder in (stage.folder, *stages.same_run(stage)) if (folder / STATE).is_file()]
    steps = {folder: read_provenance(folder / STATE, "state").get("step", 0) for folder in folders}
    return max(folders, key=lambda folder: steps[folder], default=None)


def _forget_shorter(stage: Stage) -> None:
    """One resume state for each run is enough: the furthest."""
    for folder in stages.same_run(stage):
        (folder / STATE).unlink(missing_ok=True)


# Invert ---------------------------------------------------------------------------------------------------------------


def invert(session: Session, steps: int, check: bool) -> Iterator[RunEvent]:
    """Make the inverted latents, and check them if asked and not yet done. Needs fresh tuned weights."""
    from tav.checkpoint import save_tensors

    stage = session.inverted(steps)
    with locked(session.workspace, f"inverted-{stage.key}"):
        remove_leftovers(stage.folder)
        fresh = stage.state == "fresh"
        checks = check and not (stage.folder / CHECK).is_file()
        if not fresh or checks:
            forecaster = Forecaster(session)
            forecast = forecaster.invert(0 if fresh else steps, checks, steps)
            yield Note(f"inversion: {forecaster.fitting('the inversion', forecast)}")
        latents = inverted_latents(stage) if fresh else (yield from _invert(session, stage, steps))
        if checks:
            yield from _check(session, stage, latents, steps)
        if not fresh:
            # Only now, so that a check which was interrupted is not forgotten by the next `tav edit`.
            save_tensors(stage.result, "latents", {"latents": latents}, _provenance(session, stage))
        (stage.folder / PARTIAL).unlink(missing_ok=True)
        if (stage.folder / CHECK).is_file():
            (stage.folder / CHECK_PARTIAL).unlink(missing_ok=True)


def _invert(session: Session, stage: Stage, steps: int) -> "Generator[RunEvent, None, Tensor]":
    from tav.inversion import invert as run

    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([""])
    yield from session.load_tuned()
    partial = stage.folder / PARTIAL
    start, done = read_partial(partial) or (encoded.mean, 0)
    stage.open()
    yield Begin("inversion", steps, done)
    watch = Stopwatch()
    events = watch.watch(run(session.video, session.schedule, start, context, steps, done=done))
    latents = yield from kept(session, events, partial, start)
    Forecaster(session).observed("infer", watch)
    return latents


def _check(session: Session, stage: Stage, latents: "Tensor", steps: int) -> Iterator[RunEvent]:
    """Sample the clip back (empty prompt, no guidance) and compare, beside what the VAE alone loses."""
    from tav.metrics import psnr
    from tav.sampling import sample
    from tav.video import contact_sheet

    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([""])
    yield from session.load_tuned()
    partial = stage.folder / CHECK_PARTIAL
    start, done = read_partial(partial) or (latents, 0)
    yield Begin("reconstruction check", steps, done)
    events = sample(session.video, session.schedule, start, [context], context, 1, steps, done=done)
    sampled = yield from kept(session, events, partial, start)
    coded, again = yield from session.decoded({"the clip": encoded.mean, "the reconstruction": sampled})
    frames = session.source_frames
    result = Checked(psnr(frames, again), psnr(frames, coded), stage.folder / "sheet.png")
    rows = [("source", frames), (f"reconstruction, {result.psnr:.1f} dB", again)]
    contact_sheet(result.sheet, [*rows, (f"VAE alone (the ceiling), {result.vae_psnr:.1f} dB", coded)])
    write_text(stage.folder / CHECK, json.dumps({"psnr": result.psnr, "vae_psnr": result.vae_psnr}))
    yield result


def inverted_latents(stage: Stage) -> "Tensor":
    from tav.checkpoint import read_tensors

    tensors, provenance = read_tensors(stage.result, "latents")
    stages.refuse_other(stage, provenance, f"remove {stage.folder} and it is made again")
    return tensors["latents"]


def _provenance(session: Session, stage: Stage) -> dict[str, Any]:
    about = {"base_name": session.settings.base, "tav": tav.__version__, "device": str(session.device)}
    return {**stage.inputs, **about}
