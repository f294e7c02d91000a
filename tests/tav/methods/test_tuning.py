"""A run learns what it says it learns, can be stopped anywhere, and continues as if it never was."""

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tav.bases import Base, EncodedClip
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import CheckpointError, DeviceMemoryError, TavError
from tav.events import NotLearning, Recomputing, TuneStep
from tav.methods.tuning import CHECK_AT, FP16_LOSS_SCALE, Tuning, gradients, learning, training_loss, tune
from tav.nets.inflate import VideoUNet, tuned_parameters
from tav.nets.recompute import RUNGS
from tav.settings import TuneSettings
from tav.tensor_files import read_tensors, save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 4
BLOCK = "transformer_blocks.0"

Run = Iterator[TuneStep | NotLearning]


@pytest.fixture(scope="module")
def schedule(base: Callable[[str], Base]) -> NoiseSchedule:
    return base("tiny").schedule


@pytest.fixture(scope="module")
def context(randn: Callable[..., Tensor]) -> Tensor:
    return randn(1, 6, 16, seed=1)


@pytest.fixture(scope="module")
def clip(randn: Callable[..., Tensor]) -> EncodedClip:
    return EncodedClip(randn(1, 4, 3, 8, 8, seed=2), 0.1 * randn(1, 4, 3, 8, 8, seed=3).abs())


@pytest.fixture
def new(make_video: Callable[..., VideoUNet]) -> Callable[..., Tuning]:
    """`new(steps=4, ...)`: a run on a network of its own, as inflation makes it."""

    def make(steps: int = STEPS, **settings: object) -> Tuning:
        return Tuning(make_video(stirred=False), TuneSettings(steps=steps, **{"learning_rate": 1e-3} | settings))

    return make


@pytest.fixture(scope="module")
def go(clip: EncodedClip, context: Tensor, schedule: NoiseSchedule) -> Callable[[Tuning], Run]:
    return lambda tuning: tune(tuning, clip, context, schedule)


def weights(tuning: Tuning) -> dict[str, Tensor]:
    return copy.deepcopy(dict(tuning.video.named_parameters()))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_loss_falls(new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    events = [list(go(new(steps=25, learning_rate=rate))) for rate in (1e-2, 1e-9)]
    learning, still = ([event.loss for event in run if isinstance(event, TuneStep)] for run in events)
    assert sum(learning[-5:]) < 0.95 * sum(still[-5:])


def test_steps_are_counted_from_one_to_the_last(new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    events = list(go(new()))
    assert [(event.step, event.total) for event in events] == [(step, STEPS) for step in range(1, STEPS + 1)]
    assert all(0 < event.loss < 10 and event.grad_norm > 0 for event in events)


# stopping and going on


@pytest.mark.parametrize("recompute", ["none", "all"])
def test_a_run_resumed_at_any_step_equals_one_that_was_not_stopped(
    recompute: str, new: Callable[..., Tuning], go: Callable[[Tuning], Run], tmp_path: Path
) -> None:
    whole, events = new(recompute=recompute), []
    for event in go(whole):
        events.append(event)
        save_tensors(tmp_path / f"{event.step}.safetensors", "state", whole.state(), {})
    for stopped_at in range(1, STEPS + 1):
        state, _ = read_tensors(tmp_path / f"{stopped_at}.safetensors", "state")
        resumed = new(recompute=recompute)
        resumed.load_state(state)
        assert resumed.step == stopped_at
        assert list(go(resumed)) == events[stopped_at:]
        assert same(weights(resumed), weights(whole))


@pytest.mark.parametrize("reload", [False, True])
def test_more_steps_extend_a_run(reload: bool, new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    long, short = new(steps=6), new(steps=3)
    events, first = list(go(long)), list(go(short))
    longer = new(steps=6) if reload else Tuning(short.video, long.settings)
    longer.load_state(copy.deepcopy(short.state()))
    assert [event.loss for event in first + list(go(longer))] == [event.loss for event in events]
    assert same(weights(longer), weights(long))


def test_a_finished_run_has_nothing_to_do(new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    tuning = new()
    list(go(tuning))
    before = weights(tuning)
    assert list(go(tuning)) == []
    assert same(weights(tuning), before)


@pytest.mark.parametrize("recompute", ["none", "all"])
@pytest.mark.parametrize("end", ["close", "throw", "exhaust"])
def test_nothing_is_left_behind(
    end: str, recompute: str, new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    tuning = new(recompute=recompute)
    run = go(tuning)
    next(run)
    if end == "close":
        run.close()
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            run.throw(KeyboardInterrupt())
    else:
        list(run)
    parameters = list(tuning.video.parameters())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in parameters)
    assert not any(module.training for module in tuning.video.unet.modules())
    assert not any("forward" in vars(module) for module in tuning.video.unet.modules())


def test_a_state_of_another_network_is_refused_and_changes_nothing(
    new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    part, whole = new(scope="mid_up"), new()
    list(go(part))
    before = weights(whole)
    with pytest.raises(CheckpointError, match="another network"):
        whole.load_state(part.state())
    assert same(weights(whole), before)


def test_a_foreign_state_is_refused(new: Callable[..., Tuning]) -> None:
    tuning = new()
    state = tuning.state()
    del state["random_state"]
    with pytest.raises(CheckpointError):
        tuning.load_state(state)


# settings


@pytest.mark.parametrize("rung", RUNGS[1:])
def test_recomputing_activations_changes_no_number(
    rung: str, new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    kept, recomputed = new(recompute="none"), new(recompute=rung)
    assert list(go(kept)) == list(go(recomputed))
    assert same(weights(kept), weights(recomputed))


@pytest.mark.parametrize("scope", ["all", "mid_up"])
def test_the_scope_learns_and_nothing_else(scope: str, new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    tuning = new(scope=scope)
    before = weights(tuning)
    list(go(tuning))
    after = weights(tuning)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == tuned_parameters(tuning.video, scope).keys()
    assert (scope == "all") == any(name.startswith("down_blocks") for name in changed)


def test_a_seed_means_the_same_run(new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    runs = [new(seed=1), new(seed=1), new(seed=2)]
    first, again, other = (list(go(tuning)) for tuning in runs)
    assert first == again
    assert same(weights(runs[0]), weights(runs[1]))
    assert [event.loss for event in first] != [event.loss for event in other]


def test_every_step_draws_a_new_posterior_sample(
    new: Callable[..., Tuning], clip: EncodedClip, context: Tensor, schedule: NoiseSchedule
) -> None:
    certain = EncodedClip(clip.mean, torch.zeros_like(clip.std))
    losses = [[event.loss for event in tune(new(), given, context, schedule)] for given in (clip, certain)]
    assert all(sampled != mean for sampled, mean in zip(*losses, strict=True))


# what does not learn


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"scope": "mid_up"}, {"recompute": "all"}, {"learning_rate": 3e-5}], ids=str)
def test_a_normal_run_learns(
    settings: dict[str, object],
    frames: int,
    new: Callable[..., Tuning],
    clip: EncodedClip,
    context: Tensor,
    schedule: NoiseSchedule,
) -> None:
    given = EncodedClip(clip.mean[:, :, :frames], clip.std[:, :, :frames])
    events = list(tune(new(steps=CHECK_AT + 1, **settings), given, context, schedule))
    assert [type(event) for event in events] == [TuneStep] * (CHECK_AT + 1)


@pytest.mark.parametrize("steps", [3, CHECK_AT + 1])
def test_a_query_without_gradient_is_named(steps: int, new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    tuning = new(steps=steps)
    block = tuning.video.unet.mid_block.attentions[0].transformer_blocks[0]
    block.attn1.register_forward_hook(lambda *args: args[2].detach())
    events = list(go(tuning))
    name = f"mid_block.attentions.0.{BLOCK}.attn1.to_q.weight"
    at = min(CHECK_AT, steps)
    assert events.pop(at) == NotLearning(at, (name,), (name,))
    assert [event.step for event in events] == list(range(1, steps + 1))


def test_a_query_that_is_blocked_is_named_after_resuming_too(
    new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    tunings = [new(steps=CHECK_AT + 1) for _ in range(2)]
    for tuning in tunings:
        block = tuning.video.unet.mid_block.attentions[0].transformer_blocks[0]
        block.attn1.register_forward_hook(lambda *args: args[2].detach())
    stopped, resumed = tunings
    list(itertools.islice(go(stopped), 2))
    resumed.load_state(stopped.state())
    assert any(isinstance(event, NotLearning) for event in go(resumed))


def test_a_learning_rate_below_float32_is_named(new: Callable[..., Tuning], go: Callable[[Tuning], Run]) -> None:
    tuning = new(steps=CHECK_AT, learning_rate=1e-12, weight_decay=0.0)
    failure = list(go(tuning))[-1]
    assert failure.without_gradient == ()
    assert any(name.endswith("attn1.to_q.weight") for name in failure.not_moved)


# the gradient


@pytest.mark.parametrize(
    "kind", ["attn1.to_q", "attn2.to_q", *(f"attn_temp.to_{short}" for short in ("q", "k", "v", "out.0"))]
)
def test_gradients_equal_finite_differences(
    kind: str,
    make_video: Callable[..., VideoUNet],
    randn: Callable[..., Tensor],
    clip: EncodedClip,
    context: Tensor,
    schedule: NoiseSchedule,
) -> None:
    video = make_video("tiny").double()
    chosen = [p.requires_grad_() for name, p in tuned_parameters(video).items() if f".{kind}." in name]

    def loss() -> Tensor:
        return training_loss(video, schedule, clip.mean.double(), randn(*clip.mean.shape).double(), 501, context)

    gradient = torch.autograd.grad(loss(), chosen)
    slope = sum(g.pow(2).sum() for g in gradient).sqrt()

    @torch.no_grad()
    def moved(distance: float) -> float:
        """The loss after a step along the gradient."""
        for p, g in zip(chosen, gradient, strict=True):
            p.add_(g, alpha=distance / slope.item())
        result = loss().item()
        for p, g in zip(chosen, gradient, strict=True):
            p.sub_(g, alpha=distance / slope.item())
        return result

    # The loss is float32: a step wide enough for its rounding, and the fourth-order difference.
    h = 0.1
    difference = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
    assert difference == pytest.approx(slope.item(), rel=2e-3)


# precision and divergence


def test_small_gradients_survive_float16(
    base: Callable[[str], Base], make_video: Callable[..., VideoUNet], randn: Callable[..., Tensor]
) -> None:
    latents, noise, context = randn(1, 4, 16, 16, 16, seed=5), randn(1, 4, 16, 16, 16, seed=6), randn(1, 6, 16, seed=7)
    found = []
    for dtype in (torch.float32, torch.float16):
        tuning = Tuning(make_video(stirred=False, dtype=dtype), TuneSettings(max_grad_norm=1e9))
        with learning(tuning):
            loss = training_loss(tuning.video, base("tiny").schedule, latents, noise, 500, context)
            gradients(tuning, loss, FP16_LOSS_SCALE if dtype == torch.float16 else 1)
            found.append({name: parameter.grad.clone() for name, parameter in tuning.parameters.items()})
    exact, half = found
    for name, gradient in exact.items():
        # Without the scaled loss the worst of them is off by a third.
        assert (half[name] - gradient).norm() <= 0.02 * gradient.norm()


def test_a_gradient_that_is_not_finite_stops_the_run_and_changes_nothing(
    new: Callable[..., Tuning], context: Tensor, schedule: NoiseSchedule, clip: EncodedClip
) -> None:
    tuning = new()
    before = weights(tuning)
    broken = EncodedClip(clip.mean * float("inf"), clip.std)
    with pytest.raises(TavError, match="step 1 is not finite"):
        list(tune(tuning, broken, context, schedule))
    assert same(weights(tuning), before)
    assert tuning.step == 0


# memory


class OutOfMemory:
    """A hook that fails as a full device does, in the backward pass, until so many bytes were asked for in vain."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, gradient: Tensor) -> Tensor:
        if self.times:
            self.times -= 1
            torch.empty(1 << 60, dtype=torch.uint8)  # no machine has this much
        return gradient


@pytest.mark.parametrize(("times", "rung"), [(1, "feed-forward"), (2, "blocks"), (3, "all")])
def test_out_of_memory_takes_the_next_rung_and_changes_no_number(
    times: int, rung: str, new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    whole, short = new(recompute="none"), new(recompute="none")
    events, run = list(go(whole)), go(short)
    found = [next(run)]
    hook = next(iter(short.parameters.values())).register_hook(OutOfMemory(times))
    found += list(run)
    hook.remove()
    assert short.rung == rung
    assert [event for event in found if isinstance(event, Recomputing)] == [Recomputing(2, rung)]
    assert [event for event in found if not isinstance(event, Recomputing)] == events
    assert same(weights(short), weights(whole))


def test_where_no_rung_helps_the_state_is_that_of_the_last_step(
    new: Callable[..., Tuning], go: Callable[[Tuning], Run]
) -> None:
    whole, short = new(), new()
    events, run = list(go(whole)), go(short)
    next(run)
    hook = next(iter(short.parameters.values())).register_hook(OutOfMemory(9))
    with pytest.raises(DeviceMemoryError, match="step 2"):
        next(run)
    hook.remove()
    assert not any("forward" in vars(module) for module in short.video.unet.modules())
    resumed = new()
    resumed.load_state(copy.deepcopy(short.state()))
    assert list(go(resumed)) == events[1:]
