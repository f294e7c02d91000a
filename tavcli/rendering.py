"""Makes edits: one video for each prompt, from the inverted latents, with its recipe beside and inside it."""

import contextlib
import json
import platform
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tav
from tav.atomic import remove_leftovers, write_text
from tav.errors import TavError, VideoError
from tav.events import LessAtOnce, SampleStep
from tav.formats import FORMAT
from tav.settings import SampleSettings
from tavcli import edits, given
from tavcli.edits import PARTIAL, Edit
from tavcli.fingerprint import digest
from tavcli.forecasts import Forecaster
from tavcli.keeping import kept, read_partial
from tavcli.locks import Busy, locked, undisturbed
from tavcli.runner import inverted_latents
from tavcli.session import Begin, Note, RunEvent, Session
from tavcli.stages import Stage
from tavcli.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor


def acting(settings: SampleSettings) -> SampleSettings:
    """The settings without those that change nothing, so that equal videos have equal recipes."""
    dead: dict[str, Any] = {}
    if not settings.inversion:
        dead["vary"] = 0.0
    if settings.inversion and settings.vary == 0:
        dead["seed"] = 0
    if settings.guidance_scale == 1:
        dead["negative_prompt"] = ""
    return settings.model_copy(update=dead)


def recipe(session: Session, prompt: str, settings: SampleSettings, steps: int) -> dict[str, Any]:
    """All that decides an edit's video. Needs the stages it builds on to be there."""
    tuned = session.tuned
    clip = {name: value for name, value in session.clip_inputs.items() if value is not None}
    return {
        "tav": tav.__version__,
        "format": FORMAT,
        "prompt": prompt,
        **settings.model_dump(mode="json"),
        "steps": steps,
        "caption": session.settings.caption,
        "precision": session.precision,
        "frame_attention": session.settings.frame_attention,
        "clip": {**clip, "file": session.settings.clip.source},
        "base": {"name": session.settings.base, "digest": session.base_digest},
        "tuned": {**_learned(tuned), "key": tuned.key, "digest": digest(tuned.result)},
        "inverted": {"key": session.inverted(steps).key} if settings.inversion else {},
    }


def _learned(tuned: Stage) -> dict[str, Any]:
    """What made the tuned weights: the settings of tuning here, or how they were given."""
    if way := given.way(tuned):
        name = given.carried_from(tuned)
        return {way: tuned.inputs[way], **({"from": name} if name else {})}
    settings: dict[str, Any] = tuned.inputs["tune"]
    return settings


def edit(session: Session, prompts: list[str], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    """Make one edit for each prompt, on fresh stages; yields each Edit when its video is there.

    What another process is making comes last, and is not made twice.
    """
    from tav.video import check_recipe

    settings = acting(settings)
    recipes = [recipe(session, prompt, settings, steps) for prompt in dict.fromkeys(prompts)]
    for one_recipe in recipes:
        check_recipe(one_recipe)
    while recipes:
        with contextlib.ExitStack() as held:
            claimed = [edits.claim(session.workspace, one_recipe) for one_recipe in recipes]
            ours = _hold(session, claimed, held)
            yield from _make(session, ours, settings, steps)
        recipes = [one_recipe for one_recipe, one in zip(recipes, claimed, strict=True) if one not in ours]
        # Nothing is held while waiting, so that no two processes can wait for each other. Then look again.
        for one in [one for one in claimed if one not in ours][:1]:
            with contextlib.ExitStack() as held:
                yield from session.turn(_lock(one), held)


def _make(session: Session, ours: list[Edit], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    for one in (one for one in ours if one.done):
        if one.partial.is_file():
            one.partial.unlink()
        yield Note(f"edit {one.number} is this very recipe: nothing to do")
        yield one
    unmade = [one for one in ours if not one.done]
    if unmade:
        forecaster = Forecaster(session)
        forecast = forecaster.edit(steps, len(unmade), settings.guidance_scale != 1)
        yield Note(f"editing: {forecaster.fitting('the edit', forecast)}")
    # One that was begun goes on alone; the new ones share what does not depend on the prompt.
    for begun in (one for one in unmade if one.partial.is_file()):
        yield from _edit(session, [begun], settings, steps)
    if new := [one for one in unmade if not one.done]:
        yield from _edit(session, new, settings, steps)


def _hold(session: Session, claimed: list[Edit], held: contextlib.ExitStack) -> list[Edit]:
    """Those of the edits that are ours until `held` is closed; the others are busy. Raises Busy rather than wait."""
    ours, busy = [], None
    for one in claimed:
        try:
            if not (one.done and undisturbed(session.workspace, _lock(one), one.folder)):
                held.enter_context(locked(session.workspace, _lock(one)))
                held.enter_context(_released_on_failure(session.workspace, one))
                remove_leftovers(one.folder)
            if one.claimed:  # whoever claimed it may have given it up before we had the lock
                ours.append(one)
        except Busy as error:
            busy = error
    if busy is not None and not session.wait:
        raise busy  # only now: what was claimed is held, and given up
    return ours


def _lock(one: Edit) -> str:
    return f"edit-{one.number:04d}"


@contextlib.contextmanager
def _released_on_failure(workspace: Workspace, one: Edit) -> Iterator[None]:
    """Bad input found on the way leaves no unfinished edit behind."""
    try:
        yield
    except TavError:
        with contextlib.suppress(Busy):
            edits.release(workspace, one)
        raise


def _edit(session: Session, group: list[Edit], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    from tav.sampling import sample, start_latents

    prompts = [one.recipe["prompt"] for one in group]
    *contexts, negative = yield from session.contexts([*prompts, settings.negative_prompt])
    yield from session.load_tuned()
    if settings.inversion:
        (session.inverted(steps).folder / PARTIAL).unlink(missing_ok=True)  # a kill may have left it
        like = inverted_latents(session.inverted(steps))
    else:
        like = (yield from session.encoded()).mean  # only its shape counts
    start, done = read_partial(group[0].partial, steps) or (start_latents(like, settings), 0)
    events = sample(
        session.video, session.schedule, start, contexts, negative, settings.guidance_scale, steps, done=done
    )
    for one, events_of_one in zip(group, _by_prompt(events, len(group)), strict=True):
        began = time.monotonic()
        yield Begin(f"edit {one.number}: {one.recipe['prompt']}", steps, done)
        latents = yield from kept(session, events_of_one, one.partial, start)
        yield from _finish(session, one, latents, time.monotonic() - began)
        yield one


def _finish(session: Session, one: Edit, latents: "Tensor", seconds: float) -> Iterator[RunEvent]:
    from tav.video import contact_sheet, write_video

    recipe = one.recipe
    (frames,) = yield from session.decoded({f"edit {one.number}": latents})
    source = session.source_frames
    contact_sheet(one.sheet, [(recipe["caption"], source), (recipe["prompt"], frames)])
    write_text(one.folder / "made.json", json.dumps(_made(session, seconds), indent=1))
    with contextlib.ExitStack() as held:
        sound = yield from _sound(session, one, held)
        write_video(one.video, frames, session.clip.fps, recipe, sound)
    one.partial.unlink(missing_ok=True)


def _sound(session: Session, one: Edit, held: contextlib.ExitStack) -> "Generator[RunEvent, None, Path | None]":
    """The clip's sound for just these frames, there until `held` is closed; None, and said, where it cannot be kept."""
    from tav.video import cut_sound, has_sound, in_step

    clip = session.clip
    times = [clip.info.timestamps[index] for index in clip.indices]
    if not has_sound(session.source):
        return None
    if not in_step(times, clip.fps):
        yield Note(f"edit {one.number} has no sound: at an even rate its frames are not in step with the clip's")
        return None
    try:
        return held.enter_context(cut_sound(session.source, times[0], float(len(times) / clip.fps)))
    except VideoError as error:
        yield Note(f"edit {one.number} has no sound: {error.message}", warning=True)
        return None


def _made(session: Session, seconds: float) -> dict[str, Any]:
    """Where and when: facts about a run that do not decide its result."""
    import diffusers
    import torch

    libraries = {"torch": torch.__version__, "diffusers": diffusers.__version__, "python": platform.python_version()}
    where = {"device": str(session.device), "threads": torch.get_num_threads()}
    return {"date": time.strftime("%Y-%m-%d %H:%M:%S"), "sampling_seconds": round(seconds, 1), **where, **libraries}


def _by_prompt(events: Iterator[SampleStep | LessAtOnce], count: int) -> Iterator[Iterator[SampleStep | LessAtOnce]]:
    """Split one stream of events into one for each prompt, without running ahead."""

    def one() -> Iterator[SampleStep | LessAtOnce]:
        for event in events:
            yield event
            if isinstance(event, SampleStep) and event.step == event.total:
                return

    for _ in range(count):
        yield one()
