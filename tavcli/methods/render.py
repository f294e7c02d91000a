"""What all videos share: who makes them, how they go on, and what is written: sheet, scores, sound, recipe, file."""

import contextlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from tav.atomic import remove_leftovers, replacing, write_text
from tav.errors import SettingsError, TavError, VideoError
from tav.events import LessAtOnce, SampleStep
from tavcli.events import Note, Preview, RunEvent
from tavcli.methods.loading import decoded_frames, encoded_clip
from tavcli.workspace import edits
from tavcli.workspace.edits import JOB, MADE, Edit
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import Busy, locked, undisturbed
from tavcli.workspace.scores import SCORES, write_scores
from tavcli.workspace.session import Session

if TYPE_CHECKING:
    from torch import Tensor

_PREVIEW_EVERY = 1.0  # seconds


def settle(one: Edit, whole: dict[str, Any]) -> None:
    """From now on the recipe says what the edit is made from."""
    if one.recipe == whole:
        return
    if one.begun and not (one.folder / JOB).is_file():
        raise SettingsError("tav.toml or the base have changed since this edit was begun", "queue its prompt anew")
    one.partial.unlink(missing_ok=True)
    write_text(one.folder / edits.RECIPE, tomlkit.dumps(whole))


def take_video(one: Edit, twin: Edit) -> None:
    """Copy what `twin` has, the video last."""
    for name in (twin.sheet.name, MADE, SCORES):
        if (twin.folder / name).is_file():
            with replacing(one.folder / name) as temporary:
                shutil.copyfile(twin.folder / name, temporary)
    with replacing(one.video) as temporary:
        shutil.copyfile(twin.video, temporary)


def hold(session: Session, claimed: list[Edit], held: contextlib.ExitStack) -> list[Edit]:
    """Those of the edits that are ours until `held` is closed; the others are busy. Raises Busy rather than wait."""
    ours, busy = [], None
    for one in claimed:
        try:
            if not (one.done and undisturbed(session.workspace, lock_of(one), one.folder)):
                held.enter_context(locked(session.workspace, lock_of(one)))
                held.enter_context(_released_on_failure(session.workspace, one))
                remove_leftovers(one.folder)
            if one.claimed:  # whoever claimed it may have given it up before we had the lock
                ours.append(one)
        except Busy as error:
            busy = error
    if busy is not None and not session.wait:
        raise busy  # only now: what was claimed is held, and given up
    return ours


def lock_of(one: Edit) -> str:
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


def drawing(session: Session) -> "Generator[RunEvent, None, Callable[[Tensor], Any]]":
    """What turns latents into small pictures, by the clip's own latents and frames."""
    from tav.diffusion.preview import fit, pictures

    encoded = yield from encoded_clip(session)
    made_from = (session.clip_inputs, session.base_digest)
    matrix = session.models.get("preview", made_from, lambda: fit(encoded.mean, session.clip.frames))
    seen = session.clip.content.shrunk(session.parts.vae_factor)
    return lambda latents: seen.cut(pictures(latents, matrix))


def with_previews(
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


def finish(session: Session, one: Edit, latents: "Tensor", seconds: float) -> Iterator[RunEvent]:
    from tav.metrics.fidelity import psnr
    from tav.video import contact_sheet, write_video

    recipe = one.recipe
    (frames,) = yield from decoded_frames(session, {f"edit {one.number}": latents})
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


def by_prompt(events: Iterator[SampleStep | LessAtOnce], count: int) -> Iterator[Iterator[SampleStep | LessAtOnce]]:
    """Split one stream of events into one for each prompt, without running ahead."""

    def one() -> Iterator[SampleStep | LessAtOnce]:
        for event in events:
            yield event
            if isinstance(event, SampleStep) and event.step == event.total:
                return

    for _ in range(count):
        yield one()
