"""What each stage of a workspace will need on this device: memory, disk and time, said before any weight loads."""

import bisect
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from tav.errors import DeviceMemoryError, TavError
from tavcli.config.calibration import Measured
from tavcli.units import duration, size
from tavcli.workspace.session import Session

if TYPE_CHECKING:
    from tav.forecast import Shape, Speed, Work
    from tav.nets.recompute import Rung

E = TypeVar("E")

# A rung is chosen when it leaves this share of the free memory to others.
_MARGIN = 0.1
# What failed although it was forecast to fit is tried again with at most this share of it.
_CLEARLY = 0.75
_MP4 = 0.15  # bytes a pixel of video at tav's quality, and as much for the sheet


@dataclass(frozen=True)
class Forecast:
    """Of one stage: `memory` held at its peak and `free` (both bytes, of the device), `disk` bytes, `seconds`.

    Of a tuning, `rung` is what its backward pass recomputes.
    """

    memory: int
    free: int
    disk: int
    seconds: float
    rung: "Rung | None" = None

    def __str__(self) -> str:
        recompute = f", recompute = {self.rung}" if self.rung not in (None, "none") else ""
        return (
            f"about {size(self.memory)} of memory ({size(self.free)} can be had), {size(self.disk)} on disk, "
            f"{duration(round(self.seconds))}{recompute}"
        )


class Stopwatch:
    """How long the steps of a loop take, without what their consumer does in between."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def watch(self, events: Iterable[E]) -> Iterator[E]:
        """Pass `events` on."""
        began = time.perf_counter()
        for event in events:
            self.seconds.append(time.perf_counter() - began)
            yield event
            began = time.perf_counter()

    @property
    def typical(self) -> float | None:
        """The median, once there are enough; the first step warms up."""
        return statistics.median(self.seconds[1:]) if len(self.seconds) > 3 else None


class Forecaster:
    """Forecasts for one session. What is counted or measured is kept in the user's cache."""

    def __init__(self, session: Session) -> None:
        from tav.nets.kernels import Kernels

        self.session = session
        self.parts = session.parts
        self.kernels = Kernels()
        self.kernels.choices, self.kernels.counted_for = Measured("kernels"), session.device.type
        self.costs, self.speeds, self.steps = Measured("costs"), Measured("speeds"), Measured("steps")

    @cached_property
    def shape(self) -> "Shape":
        from tav.forecast import Shape

        settings, clip = self.session.settings, self.session.clip
        size = (clip.frames.shape[2], clip.frames.shape[1])
        return Shape(len(clip.frames), size, self.session.dtype, settings.tune.scope, settings.frame_attention)

    @cached_property
    def weights(self) -> dict[str, int]:
        from tav.forecast import tuned_values, weights

        def made() -> dict[str, int]:
            return {**weights(self.parts, self.shape), "tuned": tuned_values(self.parts, self.shape)}

        return _known(self.costs, self._name("weights", self.shape), ("unet", "vae", "text", "tuned"), made)

    def tune(self, steps: int) -> Forecast:
        """Of `steps` tuning steps, on the rung that is set or, if that is left open, the first that fits."""
        from tav.nets.recompute import RUNGS

        wanted = self.session.settings.tune.recompute
        for rung in RUNGS if wanted == "auto" else (wanted,):
            found = self._tune(steps, self.shape, rung)
            if found.memory <= (1 - _MARGIN) * found.free:
                break
        return found

    def _tune(self, steps: int, shape: "Shape", rung: "Rung") -> Forecast:
        state = 3 * 4 * self.weights["tuned"]  # the weights and two moments, float32
        working = self._cost(shape, "learn", rung)["peak"] + self._overhead("learn")
        # The state is copied while it is saved; no activations are there then.
        memory = self._now + self.weights["unet"] + max(working, 2 * state)
        seconds = steps * self.seconds("learn", rung) + self._speed("learn").setup + self._coding("encode")
        disk = state + 2 * self.weights["tuned"]
        return Forecast(max(memory, self._now + self._vae("encode", shape)), self._free, disk, seconds, rung)

    def invert(self, steps: int, check: bool, check_steps: int) -> Forecast:
        """Of an inversion of so many steps, and of its reconstruction check if asked for."""
        passes = steps + (check_steps if check else 0)
        seconds = passes * self.seconds("infer") + (2 * self._coding("decode") if check else 0)
        return self._inference(seconds, 2 * self._latents + (self._video if check else 0))

    def edit(self, steps: int, prompts: int, guided: bool) -> Forecast:
        """Of one video for each prompt."""
        each = steps * (2 if guided else 1) * self.seconds("infer") + self._coding("decode")
        return self._inference(prompts * each, prompts * (2 * self._video + 20_000))

    def _inference(self, seconds: float, disk: int) -> Forecast:
        seconds += self._speed("infer").setup
        return Forecast(self._inference_memory(self.shape), self._free, disk, seconds)

    def _inference_memory(self, shape: "Shape") -> int:
        working = max(self._cost(shape, "infer")["peak"] + self._overhead("infer"), self._vae("decode", shape))
        return self._now + self.weights["unet"] + working

    def seconds(self, work: "Work", rung: "Rung" = "none") -> float:
        """Of one step: as the last such run took, else by operations counted and the speed measured."""
        known = self.steps.get(self._name(work, self.shape, rung))
        if isinstance(known, float) and known > 0:
            return known
        return float(self._cost(self.shape, work, rung)["flops"] / self._speed(work).flops)

    def observed(self, work: "Work", watch: Stopwatch, rung: "Rung" = "none") -> None:
        """Steps of a real run took this long."""
        if watch.typical is not None:
            self.steps.replace(self._name(work, self.shape, rung), watch.typical)

    def fitting(self, what: str, forecast: Forecast) -> Forecast:
        """The forecast, if the device has the memory. Raises DeviceMemoryError with the nearest setting that fits."""
        disk = shutil.disk_usage(self.session.workspace.folder).free
        if forecast.disk > disk:
            raise TavError(
                f"{what} writes about {size(forecast.disk)}, and the disk has {size(disk)} free",
                "`tav clean` lists what can go from this workspace",
            )
        if forecast.memory <= forecast.free:
            return forecast
        free = f"{self.session.device} has {size(forecast.free)}"
        said = f"{what} needs about {size(forecast.memory)} of memory, and {free}"
        raise DeviceMemoryError(said, self._nearest(forecast, forecast.free))

    def smaller(self, forecast: Forecast) -> str:
        """The nearest setting, in words, that needs clearly less than what was forecast and failed all the same."""
        return self._nearest(forecast, min(forecast.free, int(_CLEARLY * forecast.memory)))

    def _least(self, shape: "Shape") -> int:
        """What tuning needs with everything recomputed."""
        return self._tune(1, shape, "all").memory

    def _nearest(self, forecast: Forecast, free: int) -> str:
        """The setting closest to what is set that fits into `free` bytes, in words."""
        shape, (width, height) = self.shape, self.shape.size
        needs = self._inference_memory if forecast.rung is None else self._least

        def fits(frames: int, width: int, height: int) -> bool:
            return needs(replace(shape, frames=frames, size=(width, height))) <= free

        if self._rung_is_set and fits(shape.frames, width, height):
            return 'it fits with recompute = "all" under [tune] in tav.toml'
        frames = bisect.bisect_left(range(1, shape.frames), True, key=lambda few: not fits(few, width, height))
        if frames:
            return f"{frames} frames of {width}x{height} fit: set frames under [clip] in tav.toml"
        least = self.parts.size_multiple
        while min(width, height) > least:
            width, height = (max(least, side * 3 // 4 // least * least) for side in (width, height))
            if fits(1, width, height):
                return f"one frame of {width}x{height} fits: set frames and size under [clip] in tav.toml"
        return "no setting of this base fits: close other programs, or use another device"

    @property
    def _rung_is_set(self) -> bool:
        return self.session.settings.tune.recompute not in ("auto", "all")

    def _coding(self, work: "Work") -> float:
        """Seconds for all frames through the VAE, and to build it."""
        from tav.forecast import VAE_CHUNK

        chunks = -(-self.shape.frames // VAE_CHUNK)
        speed = self._speed(work)
        return speed.setup + chunks * self._cost(self.shape, work)["flops"] / speed.flops

    def _vae(self, work: "Work", shape: "Shape") -> int:
        return self.weights["vae"] + self._cost(shape, work)["peak"] + self._overhead(work)

    def _cost(self, shape: "Shape", work: "Work", rung: "Rung" = "none") -> dict[str, int]:
        from tav.forecast import cost

        def counted() -> dict[str, int]:
            self._speed(work)  # first, since it measures the kernels that are counted
            return asdict(cost(self.parts, shape, work, rung, self.kernels))

        return _known(self.costs, self._name(work, shape, rung), ("flops", "peak"), counted)

    def _overhead(self, work: "Work") -> int:
        """Bytes beyond what is counted: of the work itself, at its size, and at least what any work was seen to take.

        What the libraries set up on first use they set up once: only the first calibration of a process sees it.
        """
        every: tuple[Work, ...] = ("learn", "infer", "encode", "decode")
        known = [self._speed(one).overhead for one in every if self._name(one, self.shape) in self.speeds]
        speed = self._speed(work)
        return int(max([speed.overhead * speed.scale, *known]))

    def _speed(self, work: "Work") -> "Speed":
        from tav.forecast import Speed, calibrate

        def measured() -> dict[str, float]:
            return asdict(calibrate(self.parts, self.shape, work, self.session.device, self.kernels))

        names = ("flops", "overhead", "scale", "setup")
        return Speed(**_known(self.speeds, self._name(work, self.shape), names, measured))

    @cached_property
    def _now(self) -> int:
        """Bytes this process holds already, on the device that computes."""
        import torch

        import tav.bases.load  # noqa: F401  (the libraries that any run loads count as held)
        from tav.compute.memory import resident

        device = self.session.device
        return torch.cuda.memory_allocated(device) if device.type == "cuda" else resident()

    @cached_property
    def _free(self) -> int:
        from tav.compute.memory import free_memory

        return self._now + free_memory(self.session.device)

    @property
    def _latents(self) -> int:
        width, height = (side // self.parts.vae_factor for side in self.shape.size)
        return 4 * self.parts.latent_channels * self.shape.frames * width * height

    @property
    def _video(self) -> int:
        return int(_MP4 * self.shape.frames * self.shape.size[0] * self.shape.size[1])

    def _name(self, work: str, shape: "Shape", rung: str = "none") -> str:
        """All that the value depends on."""
        from tav.compute.memory import processors

        configs = (self.parts.unet.config, self.parts.vae.config)
        base = _short_digest(json.dumps(configs, sort_keys=True, default=str))
        facts: tuple[Any, ...] = (
            processors(self.session.device),
            self.session.precision,
            base,
            work,
            rung,
            shape.scope,
        )
        return " ".join(map(str, (*facts, shape.frame_attention, f"{shape.frames}f", "{}x{}".format(*shape.size))))


def _known(table: Measured, name: str, parts: tuple[str, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The numbers kept under `name`, made (again) where they are not there or are none."""
    kept = table.get(name)
    if isinstance(kept, dict) and kept.keys() == {*parts} and all(_is_number(value) for value in kept.values()):
        return kept
    made = make()
    table.replace(name, made)
    return made


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0


def _short_digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]
