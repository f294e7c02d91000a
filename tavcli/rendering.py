"""Makes edits: one video for each prompt, from the inverted latents, with its recipe beside and inside it."""

import contextlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

import tav
from tav.atomic import remove_leftovers, replacing, write_text
from tav.errors import SettingsError, TavError, VideoError
from tav.events import LessAtOnce, SampleStep
from tav.formats import FORMAT
from tav.settings import SampleSettings
from tavcli import edits, given
from tavcli.edits import MADE, PARTIAL, Edit
from tavcli.fingerprint import digest
from tavcli.forecasts import Forecaster
from tavcli.jobs import JOB
from tavcli.keeping import kept, read_partial
from tavcli.locks import Busy, locked, undisturbed
from tavcli.recipes import acting
from tavcli.runner import inverted_latents
from tavcli.scores import SCORES, write_scores
from tavcli.session import Begin, Note, Preview, RunEvent, Session
from tavcli.stages import Stage
from tavcli.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

_PREVIEW_EVERY = 1.0  # seconds


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


def make(session: Session, one: Edit, settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    """Make the edit that was queued in this folder, or go on with it; yields it when its video is there.

    Where another edit is this very recipe, its video is taken. Raises SettingsError when the edit was begun by other
    settings than these.
    """
    from tav.video import check_recipe

    with contextlib.ExitStack() as held:
        yield from session.turn(_lock(one), held)
        remove_leftovers(one.folder)
        if not one.done:
            settings = acting(settings)
            whole = recipe(session, one.recipe["prompt"], settings, steps)
            check_recipe(whole)
            _settle(one, whole)
            if twin := edits.twin(session.workspace, one):
                yield Note(f"edit {twin.number} is this very recipe: its video is taken")
                _take(one, twin)
            else:
                yield from _make(session, [one], settings, steps)
                return
        yield one


def _settle(one: Edit, whole: dict[str, Any]) -> None:
    """From now on the recipe says what the edit is made from."""
    if one.recipe == whole:
        return
    if one.begun and not (one.folder / JOB).is_file():
        raise SettingsError("tav.toml or the base have changed since this edit was begun", "queue its prompt anew")
    one.partial.unlink(missing_ok=True)
    write_text(one.folder / edits.RECIPE, tomlkit.dumps(whole))


def _take(one: Edit, twin: Edit) -> None:
    """Copy what `twin` has, the video last."""
    for name in (twin.sheet.name, MADE, SCORES):
        if (twin.folder / name).is_file():
            with replacing(one.folder / name) as temporary:
                shutil.copyfile(twin.folder / name, temporary)
    with replacing(one.video) as temporary:
        shutil.copyfile(twin.video, temporary)


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
    guidance, show = settings.guidance_scale, session.previews
    events = sample(
        session.video, session.schedule, start, contexts, negative, guidance, steps, done=done, preview=show
    )
    draw = (yield from _drawing(session)) if show else None
    for one, events_of_one in zip(group, _by_prompt(events, len(group)), strict=True):
        began = time.monotonic()
        yield Begin(f"edit {one.number}: {one.recipe['prompt']}", steps, done)
        latents = yield from _shown(kept(session, events_of_one, one.partial, start), draw)
        yield from _finish(session, one, latents, time.monotonic() - began)
        yield one


def _drawing(session: Session) -> "Generator[RunEvent, None, Callable[[Tensor], Any]]":
    """What turns latents into small pictures, by the clip's own latents and frames."""
    from tav.preview import fit, pictures

    encoded = yield from session.encoded()
    made_from = (session.clip_inputs, session.base_digest)
    matrix = session.warm.get("preview", made_from, lambda: fit(encoded.mean, session.clip.frames))
    seen = session.clip.content.shrunk(session.parts.vae_factor)
    return lambda latents: seen.cut(pictures(latents, matrix))


def _shown(
    events: "Generator[RunEvent, None, Tensor]", draw: "Callable[[Tensor], Any] | None"
) -> "Generator[RunEvent, None, Tensor]":
    """The events, and now and then a picture of how far it is. Returns what they return."""
    drawn = 0.0
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            latents: Tensor = end.value
            return latents
        yield event
        if draw and isinstance(event, SampleStep) and time.monotonic() - drawn >= _PREVIEW_EVERY:
            assert event.preview is not None  # asked for, since somebody draws
            drawn = time.monotonic()
            yield Preview(draw(event.preview))


def _finish(session: Session, one: Edit, latents: "Tensor", seconds: float) -> Iterator[RunEvent]:
    from tav.metrics import psnr
    from tav.video import contact_sheet, write_video

    recipe = one.recipe
    (frames,) = yield from session.decoded({f"edit {one.number}": latents})
    source = session.source_frames
    contact_sheet(one.sheet, [(recipe["caption"], source), (recipe["prompt"], frames)])
    write_text(one.folder / MADE, json.dumps(_made(session, seconds), indent=1))
    write_scores(one.folder, {"psnr": psnr(source, frames)})
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
