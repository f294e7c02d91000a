"""Edits: one video for each prompt, sampled from the inverted latents. Its recipe is written first, the video last."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import tav
from tav.atomic import remove_leftovers
from tav.formats import FORMAT
from tav.settings import SampleSettings
from tavcli.events import Begin, Note, RunEvent
from tavcli.methods.forecast import Forecaster
from tavcli.methods.invert import inverted_latents, inverted_stage
from tavcli.methods.loading import encoded_clip, noise_schedule, text_states, video_network
from tavcli.methods.render import by_prompt, drawing, finish, hold, lock_of, settle, take_video, with_previews
from tavcli.methods.resume import read_partial, resumable
from tavcli.methods.tune import load_tuned_network, tuned_stage
from tavcli.workspace import edits, external
from tavcli.workspace.edits import PARTIAL, Edit
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.recipes import normalized
from tavcli.workspace.session import Session
from tavcli.workspace.stages import Stage


def recipe(session: Session, prompt: str, settings: SampleSettings, steps: int) -> dict[str, Any]:
    """All that decides an edit's video. Needs the stages it builds on to be there."""
    tuned = tuned_stage(session)
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
        "inverted": {"key": inverted_stage(session, steps).key} if settings.inversion else {},
    }


def _learned(tuned: Stage) -> dict[str, Any]:
    """What made the tuned weights: the settings of tuning here, or how they were given."""
    if way := external.way(tuned):
        name = external.carried_from(tuned)
        return {way: tuned.inputs[way], **({"from": name} if name else {})}
    settings: dict[str, Any] = tuned.inputs["tune"]
    return settings


def make_edits(session: Session, prompts: list[str], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    """Make one edit for each prompt, on fresh stages; yields each Edit when its video is there.

    What another process is making comes last, and is not made twice.
    """
    from tav.video import check_recipe

    settings = normalized(settings)
    recipes = [recipe(session, prompt, settings, steps) for prompt in dict.fromkeys(prompts)]
    for one_recipe in recipes:
        check_recipe(one_recipe)
    while recipes:
        with contextlib.ExitStack() as held:
            claimed = [edits.claim(session.workspace, one_recipe) for one_recipe in recipes]
            ours = hold(session, claimed, held)
            yield from _make(session, ours, settings, steps)
        recipes = [one_recipe for one_recipe, one in zip(recipes, claimed, strict=True) if one not in ours]
        # Nothing is held while waiting, so that no two processes can wait for each other. Then look again.
        for one in [one for one in claimed if one not in ours][:1]:
            with contextlib.ExitStack() as held:
                yield from session.turn(lock_of(one), held)


def make_queued_edit(session: Session, one: Edit, settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    """Make the edit that was queued in this folder, or go on with it; yields it when its video is there.

    Where another edit is this very recipe, its video is taken. Raises SettingsError when the edit was begun by other
    settings than these.
    """
    from tav.video import check_recipe

    with contextlib.ExitStack() as held:
        yield from session.turn(lock_of(one), held)
        remove_leftovers(one.folder)
        if not one.done:
            settings = normalized(settings)
            whole = recipe(session, one.recipe["prompt"], settings, steps)
            check_recipe(whole)
            settle(one, whole)
            if twin := edits.twin(session.workspace, one):
                yield Note(f"edit {twin.number} is this very recipe: its video is taken")
                take_video(one, twin)
            else:
                yield from _make(session, [one], settings, steps)
                return
        yield one


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


def _edit(session: Session, group: list[Edit], settings: SampleSettings, steps: int) -> Iterator[RunEvent | Edit]:
    from tav.methods.sampling import sample, start_latents

    prompts = [one.recipe["prompt"] for one in group]
    *contexts, negative = yield from text_states(session, [*prompts, settings.negative_prompt])
    yield from load_tuned_network(session)
    if settings.inversion:
        (inverted_stage(session, steps).folder / PARTIAL).unlink(missing_ok=True)  # a kill may have left it
        like = inverted_latents(inverted_stage(session, steps))
    else:
        like = (yield from encoded_clip(session)).mean  # only its shape counts
    start, done = read_partial(group[0].partial, steps) or (start_latents(like, settings), 0)
    guidance, show = settings.guidance_scale, session.previews
    events = sample(
        video_network(session),
        noise_schedule(session),
        start,
        contexts,
        negative,
        guidance,
        steps,
        done=done,
        preview=show,
    )
    draw = (yield from drawing(session)) if show else None
    for one, events_of_one in zip(group, by_prompt(events, len(group)), strict=True):
        began = time.monotonic()
        yield Begin(f"edit {one.number}: {one.recipe['prompt']}", steps, done)
        latents = yield from with_previews(resumable(session, events_of_one, one.partial, start), draw)
        yield from finish(session, one, latents, time.monotonic() - began)
        yield one
