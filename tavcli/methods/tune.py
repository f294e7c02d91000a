"""Tuning in a workspace: what is missing or stale is made, kept, and never made twice.

Everything here yields events, the engine's and the session's; who iterates shows them. Files are written atomically,
long loops are saved every minute or 50 steps and when the user stops, so that the same command goes on where it was.
"""

import contextlib
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tav
from tav.atomic import read_text, remove_leftovers, write_text
from tav.errors import CheckpointError, DeviceMemoryError
from tav.events import TuneStep
from tavcli.events import Begin, Note, RunEvent
from tavcli.interrupts import Interrupted, interrupts
from tavcli.methods.forecast import Forecaster, Stopwatch
from tavcli.methods.loading import (
    Network,
    encoded_clip,
    load_network,
    loaded_network,
    memory_guard,
    network_inputs,
    noise_schedule,
    text_states,
    video_network,
)
from tavcli.methods.resume import SaveClock
from tavcli.workspace import external, stages
from tavcli.workspace.external import refuse_lost
from tavcli.workspace.locks import undisturbed
from tavcli.workspace.session import Session
from tavcli.workspace.stages import LOG, STATE, Stage

if TYPE_CHECKING:
    from tav.methods.tuning import Tuning


def external_stage(session: Session) -> Stage | None:
    """Weights that take the place of tuning's: imported, or carried over from another base."""
    if session.settings.imported is not None:
        return external.imported_stage(session.workspace.tuned, session.base_digest, session.settings.imported)
    if session.settings.carried is not None:
        return external.carried_stage(session.workspace.tuned, session.base_digest, session.settings.carried)
    return None


def tuned_stage(session: Session) -> Stage:
    return external_stage(session) or stages.tuned_in(
        session.workspace.tuned, session.settings, session.clip_inputs, session.base_digest, session.precision
    )


def load_tuned_network(session: Session) -> Iterator[RunEvent]:
    """Load the network with its tuned weights, unless it is warm and has them."""
    from tav.adapters.tuned import load_tuned

    network: Network | None = session.models.find("network", network_inputs(session))
    if network is None:
        yield from load_network(session)
    if loaded_network(session).weights != tuned_stage(session).key:
        loaded_network(session).weights = "half-loaded"
        try:
            stages.refuse_other(
                tuned_stage(session), load_tuned(tuned_stage(session).result, video_network(session)), ""
            )
            loaded_network(session).weights = tuned_stage(session).key
        except CheckpointError as error:
            raise CheckpointError(error.message, f"{external.how_again(tuned_stage(session))} makes it again") from None


def make_tuned(session: Session, fresh: bool = False) -> Iterator[RunEvent]:
    """Make the tuned weights: nothing if they are there, the rest of an interrupted or shorter run, or all of it.

    With `fresh` what is there is thrown away, but not before everything that the new run needs is loaded.
    """
    stage, lock = tuned_stage(session), f"tuned-{tuned_stage(session).key}"
    refuse_lost(stage)
    whole = stage.state == "fresh" and not _superseded(stage)
    if whole and not fresh and undisturbed(session.workspace, lock, stage.folder):
        return  # what may only be read can still be used
    with contextlib.ExitStack() as held:
        yield from session.turn(lock, held)
        remove_leftovers(stage.folder)
        if fresh or stage.state != "fresh":
            yield from _tune(session, stage, fresh)
        for state in _superseded(stage):
            state.unlink(missing_ok=True)


def _tune(session: Session, stage: Stage, fresh: bool) -> Iterator[RunEvent]:
    from tav.adapters.tuned import save_tuned
    from tav.methods.tuning import Tuning
    from tav.methods.tuning import tune as steps

    forecaster = Forecaster(session)
    forecast = forecaster.fitting(
        "tuning", forecaster.tune(session.settings.tune.steps - (0 if fresh else steps_done(stage)))
    )
    yield Note(f"tuning: {forecast}")
    encoded = yield from encoded_clip(session)
    (context,) = yield from text_states(session, [session.settings.caption])
    yield from load_network(session)
    loaded_network(session).weights = "half-tuned"
    tuning = Tuning(video_network(session), session.settings.tune, forecast.rung)
    if fresh:
        for state in _states_of_shorter(stage):
            state.unlink(missing_ok=True)
        stage.discard()
    log = yield from _resume(stage, tuning)
    stage.open()  # only now: until here bad input may have stopped us
    yield Begin("tuning", session.settings.tune.steps, tuning.step)
    with interrupts.deferred(), memory_guard(session):
        watch, rung = Stopwatch(), tuning.rung
        try:
            yield from _tune_loop(
                stage, tuning, log, watch.watch(steps(tuning, encoded, context, noise_schedule(session)))
            )
        except DeviceMemoryError:  # the step that did not fit has changed nothing
            _save_state(stage, tuning, log)
            raise
        if tuning.rung == rung:
            forecaster.observed("learn", watch, rung)
        save_tuned(stage.result, video_network(session), origin_of(session, stage))
        loaded_network(session).weights = stage.key


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
    from tav.tensor_files import save_tensors

    # The log goes first: lines beyond the saved state are cut off on resume, missing ones could not be made up.
    write_text(stage.folder / LOG, "".join(log))
    save_tensors(stage.folder / STATE, "state", tuning.state(), {"step": tuning.step})


def _resume(stage: Stage, tuning: "Tuning") -> Generator[RunEvent, None, list[str]]:
    """Load the furthest state of this run, or of the same run with fewer steps; returns the log up to there."""
    from tav.tensor_files import read_tensors

    with _fresh_helps():
        folder = _furthest(stage)
        if folder is None:
            return []
        tuning.load_state(read_tensors(folder / STATE, "state")[0])
        log = _read_log(folder / LOG)[: tuning.step]
    yield Note(f"going on from step {tuning.step} of tuned/{folder.name}")
    return log


def _read_log(path: Path) -> list[str]:
    """Its lines; none if it is gone. Raises CheckpointError when it is no text."""
    try:
        return read_text(path).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def steps_done(stage: Stage) -> int:
    """Steps that an interrupted or shorter run has done already."""
    with _fresh_helps():
        folder = _furthest(stage)
        return 0 if folder is None else _steps_done(folder / STATE)


@contextmanager
def _fresh_helps() -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(error.message, "`tav tune --fresh` starts again from step 0") from None


def _furthest(stage: Stage) -> Path | None:
    """The folder whose state has most steps done, this run's own if others have no more."""
    folders = [folder for folder in (stage.folder, *stages.same_run(stage)) if (folder / STATE).is_file()]
    return max(folders, key=lambda folder: _steps_done(folder / STATE), default=None)


def _steps_done(state: Path) -> int:
    from tav.tensor_files import read_provenance

    step = read_provenance(state, "state").get("step", 0)
    return step if isinstance(step, int) else 0


def _superseded(stage: Stage) -> list[Path]:
    """Resume states that are of no more use: for each run one is enough, the furthest."""
    return _states_of_shorter(stage) if (stage.folder / STATE).is_file() else []


def _states_of_shorter(stage: Stage) -> list[Path]:
    return [folder / STATE for folder in stages.same_run(stage) if (folder / STATE).is_file()]


def origin_of(session: Session, stage: Stage) -> dict[str, Any]:
    about = {"base_name": session.settings.base, "tav": tav.__version__, "device": str(session.device)}
    return {**stage.inputs, **about}
