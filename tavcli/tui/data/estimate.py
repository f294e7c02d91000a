"""Estimates of a batch that is being typed: its jobs, the words its base does not know, the time it takes."""

import asyncio
from dataclasses import replace

from tav.errors import TavError
from tavcli.methods.status import overview
from tavcli.queue import estimates
from tavcli.queue.batch import Batch, made_into_requests, session_for
from tavcli.queue.jobs import JobRequest
from tavcli.queue.queue import Queue, Row
from tavcli.queue.summary import Summary
from tavcli.tui.processes.query import ask_tav
from tavcli.workspace.folder import Workspace

# Seconds without a key press before the engine is asked for the time.
_QUIET = 0.6
# How many of the words that a base does not know are named.
_NAMED = 3


def requests_of(workspace: Workspace, batch: Batch) -> tuple[list[JobRequest], str]:
    """The jobs of a batch, and a warning of words that the base does not know. Raises TavError for an invalid batch."""
    session = session_for(workspace, batch)
    wanted = made_into_requests(session, batch)
    lexicon = session.parts.lexicon
    if lexicon is None:
        return wanted, ""
    texts = [str(request.recipe["prompt"]) for request in wanted if request.recipe]
    return wanted, _unknown(lexicon.unknown_words("\n".join([*texts, session.settings.sample.negative_prompt])))


def _unknown(words: list[tuple[str, list[str]]]) -> str:
    named = [f"“{word}”" + (f" (nearest: {near[0]})" if near else "") for word, near in words[:_NAMED]]
    more = [f"{len(words) - _NAMED} more"] if len(words) > _NAMED else []
    return f"the base does not know {', '.join([*named, *more])}" if words else ""


class CostEstimator:
    """Tells how long batches of one workspace take: as like edits took, else as the engine forecasts."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._asked: dict[str, float] = {}
        self._fresh: bool | None = None

    def measured(self, batch: Batch, wanted: list[JobRequest]) -> float | None:
        """Seconds, from how long like edits took here; None where those cannot tell. Reads files."""
        if self._fresh is None:
            found = overview(self.workspace)
            self._fresh = (found.tuned, found.inverted) == ("fresh", "fresh")
        if batch.base or batch.steps or not self._fresh:  # a stage may have to be made first
            return None
        pace = estimates.Pace(Queue(self.workspace).rows())
        times = [pace.measured(_as_row(request)) for request in wanted]
        known = [seconds for seconds in times if seconds is not None]
        return sum(known) if len(known) == len(times) else None

    async def forecast(self, batch: Batch, wanted: list[JobRequest]) -> float | None:
        """Seconds, as the engine forecasts them, asked once for each kind of batch; None where it cannot."""
        # The time depends on the number of prompts, not on their words.
        kind = f"{replace(batch, prompts=(), negative=None)} {len(wanted)}"
        if kind not in self._asked:
            await asyncio.sleep(_QUIET)
            try:
                said = await ask_tav(
                    self.workspace.folder, "queue", "add", "--dry-run", *_as_flags(batch), "--", *batch.prompts
                )
            except TavError:
                return None
            self._asked[kind] = float(said["seconds"])
        return self._asked[kind]


def _as_row(request: JobRequest) -> Row:
    return Row("", 0, request.kind, "queued", 0.0, "", Summary.of_request(request))


def _as_flags(batch: Batch) -> list[str]:
    given = {
        "--negative": batch.negative,
        "--guidance": batch.guidance,
        "--vary": batch.vary,
        "--seed": batch.seed,
        "--steps": str(batch.steps or ""),
        "--preset": batch.preset,
        "--base": batch.base,
    }
    flags = [f"{name}={value}" for name, value in given.items() if value]
    return [*flags, *(["--no-inversion"] if batch.inversion is False else [])]
