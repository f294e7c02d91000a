"""Inversion: the noise that gives the clip back, and the check that it does."""

import contextlib
import json
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from tav.atomic import remove_leftovers, write_text
from tavcli.events import Begin, Checked, Note, RunEvent
from tavcli.methods.forecast import Forecaster, Stopwatch
from tavcli.methods.loading import decoded_frames, encoded_clip, noise_schedule, text_states, video_network
from tavcli.methods.resume import read_partial, resumable
from tavcli.methods.tune import load_tuned_network, origin_of, tuned_stage
from tavcli.workspace import stages
from tavcli.workspace.edits import PARTIAL
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.locks import undisturbed
from tavcli.workspace.session import Session
from tavcli.workspace.stages import CHECK, Stage

if TYPE_CHECKING:
    from torch import Tensor


CHECK_PARTIAL = "check-partial.safetensors"


def inverted_stage(session: Session, steps: int) -> Stage:
    """The inversion of the tuned weights that are there now."""
    tuned = tuned_stage(session)
    tuned_digest = digest(tuned.result) if tuned.result.is_file() else ""
    return inverted_from(session, tuned_digest, steps, session.precision)


def inverted_from(session: Session, tuned_digest: str, steps: int, precision: str) -> Stage:
    """The inversion of the tuned weights of that digest."""
    own = {"clip": session.clip_inputs, "base": session.base_digest, "precision": precision}
    network = {**own, "frame_attention": session.settings.frame_attention}
    return stages.inverted_in(session.workspace.inverted, network, tuned_digest, steps)


def make_inverted(session: Session, steps: int, check: bool) -> Iterator[RunEvent]:
    """Make the inverted latents, and check them if asked and not yet done. Needs fresh tuned weights."""
    from tav.tensor_files import save_tensors

    stage = inverted_stage(session, steps)
    lock = f"inverted-{stage.key}"
    if _is_whole(stage, check) and undisturbed(session.workspace, lock, stage.folder):
        return
    with contextlib.ExitStack() as held:
        yield from session.turn(lock, held)
        remove_leftovers(stage.folder)
        fresh = stage.state == "fresh"
        checks = check and not stage.score
        if not fresh or checks:
            forecaster = Forecaster(session)
            forecast = forecaster.invert(0 if fresh else steps, checks, steps)
            yield Note(f"inversion: {forecaster.fitting('the inversion', forecast)}")
        latents = inverted_latents(stage) if fresh else (yield from _invert(session, stage, steps))
        if checks:
            yield from _check(session, stage, latents, steps)
        if not fresh:
            # Only now, so that a check which was interrupted is not forgotten by the next `tav edit`.
            save_tensors(stage.result, "latents", {"latents": latents}, origin_of(session, stage))
        (stage.folder / PARTIAL).unlink(missing_ok=True)
        if stage.score:
            (stage.folder / CHECK_PARTIAL).unlink(missing_ok=True)


def _is_whole(stage: Stage, check: bool) -> bool:
    """Is everything made, and nothing left of the making?"""
    left = [stage.folder / PARTIAL, *([stage.folder / CHECK_PARTIAL] if stage.score else [])]
    return stage.state == "fresh" and bool(stage.score or not check) and not any(path.is_file() for path in left)


def _invert(session: Session, stage: Stage, steps: int) -> "Generator[RunEvent, None, Tensor]":
    from tav.methods.inversion import invert as run

    encoded = yield from encoded_clip(session)
    (context,) = yield from text_states(session, [""])
    yield from load_tuned_network(session)
    partial = stage.folder / PARTIAL
    start, done = read_partial(partial, steps) or (encoded.mean, 0)
    stage.open()
    yield Begin("inversion", steps, done)
    watch = Stopwatch()
    events = watch.watch(run(video_network(session), noise_schedule(session), start, context, steps, done=done))
    latents = yield from resumable(session, events, partial, start)
    Forecaster(session).observed("infer", watch)
    return latents


def _check(session: Session, stage: Stage, latents: "Tensor", steps: int) -> Iterator[RunEvent]:
    """Sample the clip back (empty prompt, no guidance) and compare, beside what the VAE alone loses."""
    from tav.methods.sampling import sample
    from tav.metrics.fidelity import psnr
    from tav.video import contact_sheet

    encoded = yield from encoded_clip(session)
    (context,) = yield from text_states(session, [""])
    yield from load_tuned_network(session)
    partial = stage.folder / CHECK_PARTIAL
    start, done = read_partial(partial, steps) or (latents, 0)
    yield Begin("reconstruction check", steps, done)
    events = sample(video_network(session), noise_schedule(session), start, [context], context, 1, steps, done=done)
    sampled = yield from resumable(session, events, partial, start)
    coded, again = yield from decoded_frames(session, {"the clip": encoded.mean, "the reconstruction": sampled})
    frames = session.source_frames
    result = Checked(psnr(frames, again), psnr(frames, coded), stage.folder / "sheet.png")
    rows = [("source", frames), (f"reconstruction, {result.psnr:.1f} dB", again)]
    contact_sheet(result.sheet, [*rows, (f"VAE alone (the ceiling), {result.vae_psnr:.1f} dB", coded)])
    write_text(stage.folder / CHECK, json.dumps({"psnr": result.psnr, "vae_psnr": result.vae_psnr}))
    yield result


def inverted_latents(stage: Stage) -> "Tensor":
    from tav.tensor_files import read_tensors

    tensors, provenance = read_tensors(stage.result, "latents", latents=5)
    stages.refuse_other(stage, provenance, f"remove {stage.folder} and it is made again")
    return tensors["latents"]
