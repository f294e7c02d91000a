"""Runs the stages of a workspace: what is missing or stale is made, kept, and never made twice.

Everything here yields events, the engine's and the session's; who iterates shows them. Files are written atomically,
long loops are saved every minute or 50 steps and when the user stops, so that the same command goes on where it was.
"""

import contextlib
import json
import platform
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tav
from tav.atomic import remove_leftovers, write_text
from tav.errors import CheckpointError, TavError
from tav.events import InvertStep, SampleStep, TuneStep
from tav.settings import SampleSettings
from tavcli import edits, stages
from tavcli.edits import PARTIAL, Edit
from tavcli.fingerprint import digest
from tavcli.interrupts import Interrupted, interrupts
from tavcli.locks import locked
from tavcli.session import Begin, Checked, Note, RunEvent, Session
from tavcli.stages import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from tav.tuning import Tuning

SAVE_SECONDS, SAVE_STEPS = 60, 50
STATE, LOG = "state.safetensors", "steps.jsonl"
CHECK, CHECK_PARTIAL = "check.json", "check-partial.safetensors"


# Tune -----------------------------------------------------------------------------------------------------------------


def tune(session: Session, fresh: bool = False) -> Iterator[RunEvent]:
    """Make the tuned weights: nothing if they are there, the rest of an interrupted or shorter run, or all of it."""
    stage = session.tuned
    with locked(session.workspace, f"tuned-{stage.key}"):
        if fresh:
            stage.discard()
            _forget_shorter(stage)
        if stage.state != "fresh":
            remove_leftovers(stage.folder)
            yield from _tune(session, stage)
        _forget_shorter(stage)


def _tune(session: Session, stage: Stage) -> Iterator[RunEvent]:
    from tav.checkpoint import save_tuned
    from tav.tuning import Tuning

    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([session.settings.caption])
    yield from session.load_video()
    tuning = Tuning(session.video, session.settings.tune)
    log = yield from _resume(stage, tuning)
    stage.open()  # only now: until here bad input may have stopped us
    yield Begin("tuning", session.settings.tune.steps, tuning.step)
    with interrupts.deferred(), session.memory():
        yield from _tune_loop(session, stage, tuning, log, encoded, context)
        save_tuned(stage.result, session.video, _provenance(session, stage))


def _tune_loop(
    session: Session, stage: Stage, tuning: "Tuning", log: list[str], encoded: Any, context: "Tensor"
) -> Iterator[RunEvent]:
    from tav.tuning import tune as steps

    clock = _SaveClock()
    for event in steps(tuning, encoded, context, session.schedule):
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

    for folder in (stage.folder, *stages.same_run(stage)):
        if (folder / STATE).is_file():
            try:
                tuning.load_state(read_tensors(folder / STATE, "state")[0])
            except CheckpointError as error:
                raise CheckpointError(error.message, "`tav tune --fresh` starts again from step 0") from None
            yield Note(f"going on from step {tuning.step} of tuned/{folder.name}")
            log = folder / LOG
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else []
            return lines[: tuning.step]
    return []


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
        latents = _inverted_latents(stage) if fresh else (yield from _invert(session, stage, steps))
        if check and not (stage.folder / CHECK).is_file():
            yield from _check(session, stage, latents, steps)
        if not fresh:
            # Only now, so that a check which was interrupted is not forgotten by the next `tav edit`.
            save_tensors(stage.result, "latents", {"latents": latents}, _provenance(session, stage))
        (stage.folder / PARTIAL).unlink(missing_ok=True)
        if (stage.folder / CHECK).is_file():
            (stage.folder / CHECK_PARTIAL).unlink(missing_ok=True)


def _invert(session: Session, stage: Stage, steps: int) -> "Generator[RunEvent, None, Tensor]":
    from tav.checkpoint import save_tensors
    from tav.inversion import invert as run

    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([""])
    yield from session.load_tuned()
    partial = stage.folder / PARTIAL
    start, done = _partial(partial) or (encoded.mean, 0)
    stage.open()
    yield Begin("inversion", steps, done)
    events = run(session.video, session.schedule, start, context, steps, done=done)
    inverted = yield from _kept(session, events, partial, start)
    save_tensors(partial, "latents", {"latents": inverted}, {"done": steps})
    return inverted


def _check(session: Session, stage: Stage, latents: "Tensor", steps: int) -> Iterator[RunEvent]:
    """Sample the clip back (empty prompt, no guidance) and compare, beside what the VAE alone loses."""
    from tav.metrics import psnr
    from tav.sampling import sample
    from tav.video import contact_sheet

    encoded = yield from session.encoded()
    (context,) = yield from session.contexts([""])
    yield from session.load_tuned()
    partial = stage.folder / CHECK_PARTIAL
    start, done = _partial(partial) or (latents, 0)
    yield Begin("reconstruction check", steps, done)
    events = sample(session.video, session.schedule, start, [context], context, 1, steps, done=done)
    sampled = yield from _kept(session, events, partial, start)
    coded, again = yield from session.decoded({"the clip": encoded.mean, "the reconstruction": sampled})
    frames = session.content(session.clip.frames)
    result = Checked(psnr(frames, again), psnr(frames, coded), stage.folder / "sheet.png")
    rows = [("source", frames), (f"reconstruction, {result.psnr:.1f} dB", again)]
    contact_sheet(result.sheet, [*rows, (f"VAE alone (the ceiling), {result.vae_psnr:.1f} dB", coded)])
    write_text(stage.folder / CHECK, json.dumps({"psnr": result.psnr, "vae_psnr": result.vae_psnr}))
    yield result


def _inverted_latents(stage: Stage) -> "Tensor":
    from tav.checkpoint import read_tensors

    tensors, provenance = read_tensors(stage.result, "latents")
    stages.refuse_other(stage, provenance, f"remove {stage.folder} and it is made again")
    return tensors["latents"]


# Edit -----------------------------------------------------------------------------------------------------------------


def recipe(session: Session, prompt: str, settings: SampleSettings, steps: int) -> dict[str, Any]:
    """All that decides an edit's video. Needs the stages it builds on to be there."""
    tuned = session.tuned
    clip = {name: value for name, value in tuned.inputs["clip"].items() if value is not None}
    return {
        "tav": tav.__version__,
        "prompt": prompt,
        **settings.model_dump(mode="json"),
        "steps": steps,
        **{name: tuned.inputs[name] for name in ("caption", "precision", "frame_attention")},
        "clip": {**clip, "file": session.settings.clip.source},
        "base": {"name": session.settings.base, "digest": session.base_digest},
        "tuned": {**tuned.inputs["tune"], "key": tuned.key, "digest": digest(tuned.result)},
        "inverted": {"key": session.inverted(steps).key} if settings.inversion else {},
    }


def edit(session: Session, prompts: list[str], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    """Make one edit for each prompt, on fresh stages; yields each Edit when its video is there."""
    recipes = [recipe(session, prompt, settings, steps) for prompt in dict.fromkeys(prompts)]
    claimed = [edits.claim(session.workspace, one) for one in recipes]
    with contextlib.ExitStack() as held:
        for one in claimed:
            held.enter_context(locked(session.workspace, f"edit-{one.number:04d}"))
            held.enter_context(_released_on_failure(one))
            remove_leftovers(one.folder)
        for one in (one for one in claimed if one.done):
            one.partial.unlink(missing_ok=True)
            yield Note(f"edit {one.number} is this very recipe: nothing to do")
            yield one
        waiting = [one for one in claimed if not one.done]
        # One that was begun goes on alone; the new ones share what does not depend on the prompt.
        for begun in (one for one in waiting if one.partial.is_file()):
            yield from _edit(session, [begun], settings, steps)
        if new := [one for one in waiting if not one.done]:
            yield from _edit(session, new, settings, steps)


@contextlib.contextmanager
def _released_on_failure(one: Edit) -> Iterator[None]:
    """Bad input found on the way leaves no unfinished edit behind."""
    try:
        yield
    except TavError:
        edits.release(one)
        raise


def _edit(session: Session, group: list[Edit], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    from tav.sampling import sample, start_latents

    prompts = [one.recipe["prompt"] for one in group]
    *contexts, negative = yield from session.contexts([*prompts, settings.negative_prompt])
    yield from session.load_tuned()
    if settings.inversion:
        (session.inverted(steps).folder / PARTIAL).unlink(missing_ok=True)  # a kill may have left it
        like = _inverted_latents(session.inverted(steps))
    else:
        like = (yield from session.encoded()).mean  # only its shape counts
    start, done = _partial(group[0].partial) or (start_latents(like, settings), 0)
    events = sample(
        session.video, session.schedule, start, contexts, negative, settings.guidance_scale, steps, done=done
    )
    for one, events_of_one in zip(group, _by_prompt(events, len(group)), strict=True):
        began = time.monotonic()
        yield Begin(f"edit {one.number}: {one.recipe['prompt']}", steps, done)
        latents = yield from _kept(session, events_of_one, one.partial, start)
        yield from _finish(session, one, latents, time.monotonic() - began)
        yield one


def _finish(session: Session, one: Edit, latents: "Tensor", seconds: float) -> Iterator[RunEvent]:
    from tav.checkpoint import save_tensors
    from tav.video import contact_sheet, write_video

    recipe = one.recipe
    save_tensors(one.partial, "latents", {"latents": latents}, {"done": recipe["steps"]})
    (frames,) = yield from session.decoded({f"edit {one.number}": latents})
    source = session.content(session.clip.frames)
    contact_sheet(one.sheet, [(recipe["caption"], source), (recipe["prompt"], frames)])
    write_text(one.folder / "made.json", json.dumps(_made(session, seconds), indent=1))
    write_video(one.video, frames, session.clip.fps, recipe)
    one.partial.unlink(missing_ok=True)


def _made(session: Session, seconds: float) -> dict[str, Any]:
    """Where and when: facts about a run that do not decide its result."""
    import diffusers
    import torch

    libraries = {"torch": torch.__version__, "diffusers": diffusers.__version__, "python": platform.python_version()}
    where = {"device": str(session.device), "threads": torch.get_num_threads()}
    return {"date": time.strftime("%Y-%m-%d %H:%M:%S"), "sampling_seconds": round(seconds, 1), **where, **libraries}


def _by_prompt(events: Iterator[SampleStep], count: int) -> Iterator[Iterator[SampleStep]]:
    """Split one stream of events into one for each prompt, without running ahead."""

    def one() -> Iterator[SampleStep]:
        for event in events:
            yield event
            if event.step == event.total:
                return

    for _ in range(count):
        yield one()


# Keeping --------------------------------------------------------------------------------------------------------------


@dataclass
class _SaveClock:
    """Is it time to save?"""

    at: float = field(default_factory=time.monotonic)
    steps: int = 0

    def due(self) -> bool:
        self.steps += 1
        if self.steps < SAVE_STEPS and time.monotonic() - self.at < SAVE_SECONDS:
            return False
        self.at, self.steps = time.monotonic(), 0
        return True


def _kept(
    session: Session, events: Iterator[InvertStep] | Iterator[SampleStep], partial: Path, latents: "Tensor"
) -> "Generator[RunEvent, None, Tensor]":
    """Pass a loop's events on, saving its latents now and then and when the user stops; returns the last latents."""
    from tav.checkpoint import save_tensors

    clock = _SaveClock()
    with interrupts.deferred(), session.memory():
        for event in events:
            latents = event.latents
            yield event
            if interrupts.pending or clock.due():
                save_tensors(partial, "latents", {"latents": latents}, {"done": event.step})
            if interrupts.pending:
                raise Interrupted
    return latents


def _partial(path: Path) -> "tuple[Tensor, int] | None":
    """Latents and steps done of an interrupted loop."""
    from tav.checkpoint import read_tensors

    if not path.is_file():
        return None
    tensors, provenance = read_tensors(path, "latents")
    return tensors["latents"], int(provenance["done"])


def _provenance(session: Session, stage: Stage) -> dict[str, Any]:
    about = {"base_name": session.settings.base, "tav": tav.__version__, "device": str(session.device)}
    return {**stage.inputs, **about}
