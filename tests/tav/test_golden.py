"""The engine equals the official implementation: every number recorded from it, within the recorded tolerance."""

import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tav.bases import Base, decode_latents, encode_frames, encode_text
from tav.diffusion.schedule import NoiseSchedule, add_noise, training_target
from tav.methods.inversion import invert
from tav.methods.sampling import sample, start_latents
from tav.methods.tuning import Tuning, gradients, learning, optimise, training_loss
from tav.nets.inflate import VideoUNet
from tav.settings import SampleSettings, TuneSettings

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[1] / "golden"
BASES = ("sd1", "sd2")
MANIFEST = {base: json.loads((GOLDEN / base / "manifest.json").read_text()) for base in BASES}
RULE = re.compile(
    r"at most (?P<percent>\S+) % of the values off by more than (?P<off>\S+), none by more than (?P<most>\S+)"
)


def keys(base: str, file: str) -> list[str]:
    with safe_open(GOLDEN / base / f"{file}.safetensors", "pt") as opened:
        return list(opened.keys())


def roster(*files: str, matching: str) -> list[tuple[str, str, str]]:
    """(base, file, key) of every recorded tensor whose key matches."""
    return [
        (base, file, key) for base in BASES for file in files for key in keys(base, file) if re.search(matching, key)
    ]


@functools.cache
def recorded(base: str, file: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / base / f"{file}.safetensors")


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is stored under `prefix/`, by its own name."""
    return {key.removeprefix(prefix + "/"): value for key, value in tensors.items() if key.startswith(prefix + "/")}


def tolerance(base: str, name: str) -> dict[str, Any]:
    found = MANIFEST[base]["tolerances"][name]
    same_as = re.fullmatch(r"as (g\d) (.*)", found.get("rule", ""))
    return tolerance(base, " ".join(same_as.groups())) if same_as else found


def assert_close(actual: Tensor, expected: Tensor, base: str, name: str) -> None:
    """`actual` equals `expected` within what the manifest allows for `name`."""
    allowed = tolerance(base, name)
    assert actual.shape == expected.shape
    if "exact" in allowed:
        assert torch.equal(actual, expected)
        return
    scale = {"atol": torch.tensor(1.0), "atol_relative_to_max": expected.abs().max(), "rtol": expected.abs()}
    kind = (allowed.keys() & scale.keys()).pop()
    off = (actual - expected).abs()
    assert (off <= allowed[kind] * scale[kind]).all(), f"{name}: off by {off.max():.2g}, {kind} is {allowed[kind]:.2g}"


def assert_most_close(actual: dict[str, Tensor], expected: dict[str, Tensor], base: str, name: str) -> None:
    """The rule for parameters after AdamW, which turns the rounding of near-zero gradients into signs."""
    rule = {key: float(value) for key, value in RULE.match(tolerance(base, name)["rule"]).groupdict().items()}
    off = torch.cat([(actual[key] - value).abs().flatten() for key, value in expected.items()])
    assert off.max() <= rule["most"]
    assert (off > rule["off"]).double().mean() <= rule["percent"] / 100


@pytest.fixture(scope="module")
def network(make_video: Callable[..., VideoUNet]) -> Callable[[str, str], VideoUNet]:
    """The inflated base with the temporal layers of a recorded state."""

    def make(base: str, state: str) -> VideoUNet:
        temporal = dict(recorded(base, "temporal_random" if state == "random" else "temporal_built"))
        if state == "zerobias":
            temporal |= {key: torch.zeros_like(x) for key, x in temporal.items() if key.endswith("to_out.0.bias")}
        video = make_video(base, stirred=False)
        assert temporal.keys() == {name for name in video.state_dict() if "_temp." in name}
        video.load_state_dict(temporal, strict=False)
        return video

    return make


@pytest.fixture(scope="module")
def shared_network(network: Callable[[str, str], VideoUNet]) -> Callable[[str, str], VideoUNet]:
    """The same for tests that do not change it."""
    return functools.cache(network)


# g0: the 2-D base itself


@pytest.mark.parametrize(("name", "file", "key"), roster("g0_base2d", matching=r"^unet2d/.*/out$"))
@torch.no_grad()
def test_unet_of_the_base(name: str, file: str, key: str, base: Callable[[str], Base]) -> None:
    g0, shape = recorded(name, file), key.removesuffix("/out")
    out = base(name).unet(g0[f"{shape}/sample"], g0[f"{shape}/timestep"], g0["unet2d/ehs"]).sample
    assert_close(out, g0[key], name, "g0 unet2d/*/out, vae/*")


@pytest.mark.parametrize("name", BASES)
def test_text_of_the_base(name: str, base: Callable[[str], Base]) -> None:
    parts, prompts = base(name), MANIFEST[name]["prompts"]
    g0, g4, g5 = (recorded(name, file) for file in ("g0_base2d", "g4_inversion", "g5_sample"))

    def tokens(prompts: list[str]) -> Tensor:
        length = g0["text/input_ids"].shape[1]
        return parts.tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids

    asked = [MANIFEST[name]["sampling"]["prompt"]]
    for texts, ids in (
        (prompts, g0["text/input_ids"]),
        ([""], g4["input_ids_empty"]),
        ([""], g5["input_ids_uncond"]),
        (asked, g5["input_ids"]),
    ):
        assert_close(tokens(texts), ids, name, "g0 text/input_ids")
    encoded = functools.partial(encode_text, parts.tokenizer, parts.text_encoder)
    for texts, states in (
        (prompts, g0["text/last_hidden_state"]),
        ([""], g4["ehs_empty"]),
        ([""], g5["ehs_uncond"]),
        (asked, g5["ehs_cond"]),
    ):
        assert_close(encoded(texts), states, name, "g0 text/last_hidden_state")


@pytest.mark.parametrize("name", BASES)
def test_vae_of_the_base(name: str, base: Callable[[str], Base]) -> None:
    vae, g0 = base(name).vae, recorded(name, "g0_base2d")
    clip = returned(encode_frames(vae, g0["vae/pixels_uint8"].numpy()))
    frames = {
        "mean": clip.mean[0].transpose(0, 1),
        "logvar": 2 * (clip.std[0].transpose(0, 1) / MANIFEST[name]["latent_scale"]).log(),
    }
    frames["mean"] = frames["mean"] / MANIFEST[name]["latent_scale"]
    for kind, value in frames.items():
        assert_close(value, g0[f"vae/encode_{kind}"], name, "g0 unet2d/*/out, vae/*")
    with torch.no_grad():
        assert_close(vae.decode(g0["vae/z"]).sample, g0["vae/decode"], name, "g0 unet2d/*/out, vae/*")


def returned(generator: Any) -> Any:
    """What a generator returns in the end."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


# g1, g2: the forward pass


@pytest.mark.parametrize(
    ("name", "file", "key"), roster("g1_forward", "g2_forward_random", matching="/(built|zerobias|random)$")
)
@torch.no_grad()
def test_forward(name: str, file: str, key: str, shared_network: Callable[[str, str], VideoUNet]) -> None:
    shape, t, state = key.split("/")
    g1 = recorded(name, "g1_forward")
    out = shared_network(name, state)(g1[f"{shape}/sample"], g1[f"{shape}/{t}"], g1[f"ehs_{shape[:2]}"])
    assert_close(out, recorded(name, file)[key], name, "g1, g2 outputs")


# g3: tuning


@dataclasses.dataclass
class Trained:
    """What three steps of one run showed."""

    tuned: set[str]
    prediction: Tensor
    gradients: dict[str, Tensor]
    losses: list[float]
    norms: list[float]
    parameters: dict[str, Tensor]


@pytest.fixture(scope="module")
def trained(network: Callable[[str, str], VideoUNet], base: Callable[[str], Base]) -> Callable[[str, str], Trained]:
    """Three steps of a recorded run: `state/ckpt|nockpt/lr.../...`."""

    @functools.cache
    def train(name: str, run: str) -> Trained:
        state, checkpointing, rate, *more = run.split("/")
        changed = {"clip0.05": {"max_grad_norm": 0.05}, "wd0": {"weight_decay": 0.0}}
        # The official checkpointing cuts the down blocks off from the gradient.
        scope = {"nockpt": "all", "ckpt": "mid_up"}[checkpointing]
        options = changed[more[0]] if more else {}
        tuning = Tuning(network(name, state), TuneSettings(learning_rate=float(rate[2:]), scope=scope, **options))
        return run_recorded_steps(tuning, base(name).schedule, recorded(name, "g3_train"))

    return train


def run_recorded_steps(tuning: Tuning, schedule: NoiseSchedule, g3: dict[str, Tensor]) -> Trained:
    video, steps = tuning.video, [(noise, int(t)) for noise, t in zip(g3["noise"], g3["timesteps"], strict=True)]
    with torch.no_grad():
        prediction = video(add_noise(schedule, g3["latents"], *steps[0]), steps[0][1], g3["ehs"])
    with learning(tuning):
        losses, norms = [], []
        for noise, t in steps:
            loss = training_loss(video, schedule, g3["latents"], noise, t, g3["ehs"])
            if not losses:
                before_clipping = torch.autograd.grad(loss, list(tuning.parameters.values()), retain_graph=True)
                first = dict(zip(tuning.parameters, before_clipping, strict=True))
            gradients(tuning, loss)
            norms.append(optimise(tuning).item())
            losses.append(loss.item())
    return Trained(set(tuning.parameters), prediction, first, losses, norms, video.state_dict())


RUNS = [(base, run) for base in BASES for run in MANIFEST[base]["train"]]
NORMED = [(base, run) for base, run in RUNS if "grad_norm_step1" in MANIFEST[base]["train"][run]]


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_losses_and_gradient_norms(name: str, run: str, trained: Callable[[str, str], Trained]) -> None:
    record, ours = MANIFEST[name]["train"][run], trained(name, run)
    assert_close(torch.tensor(ours.losses), torch.tensor(record["loss"]), name, "g3 loss")
    assert_close(torch.tensor(ours.norms), torch.tensor(record["total_grad_norm"]), name, "g3 grad norms")


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_trained_parameters(name: str, run: str, trained: Callable[[str, str], Trained]) -> None:
    names, record = set(MANIFEST[name]["trainable"]["names"]), MANIFEST[name]["train"][run]
    assert trained(name, run).tuned == names - set(record.get("no_grad_params", []))


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_parameters_after_three_steps(name: str, run: str, trained: Callable[[str, str], Trained]) -> None:
    expected = below(f"{run}/param_after3", recorded(name, "g3_train"))
    assert_most_close(trained(name, run).parameters, expected, name, f"g3 param_after3 {run.split('/')[2]}")


@pytest.mark.parametrize(("name", "run"), NORMED)
def test_norm_of_every_parameter(name: str, run: str, trained: Callable[[str, str], Trained]) -> None:
    record, ours = MANIFEST[name]["train"][run], trained(name, run)
    for what, actual, allowed in (
        ("param_after3_norm", ours.parameters, "g3 param_after3_norm"),
        ("grad_norm_step1", ours.gradients, "g3 grad norms"),
    ):
        expected = record[what]
        assert what == "param_after3_norm" or expected.keys() == ours.tuned
        norms = torch.stack([actual[parameter].double().norm() for parameter in expected])
        assert_close(norms, torch.tensor(list(expected.values()), dtype=torch.double), name, allowed)


@pytest.mark.parametrize(("name", "file", "key"), roster("g3_train", matching="/grad_step1/"))
def test_first_gradient(name: str, file: str, key: str, trained: Callable[[str, str], Trained]) -> None:
    run, parameter = key.split("/grad_step1/")
    assert_close(trained(name, f"{run}/lr0.001").gradients[parameter], recorded(name, file)[key], name, "g3 grad_step1")


@pytest.mark.parametrize(("name", "file", "key"), roster("g3_train", matching="/pred_step1$"))
def test_first_prediction(name: str, file: str, key: str, trained: Callable[[str, str], Trained]) -> None:
    state = key.split("/")[0]
    assert_close(trained(name, f"{state}/nockpt/lr0.001").prediction, recorded(name, file)[key], name, "g3 pred_step1")


@pytest.mark.parametrize("name", BASES)
def test_first_noisy_latents_and_target(name: str, base: Callable[[str], Base]) -> None:
    g3, schedule = recorded(name, "g3_train"), base(name).schedule
    given = (schedule, g3["latents"], g3["noise"][0], int(g3["timesteps"][0]))
    assert torch.equal(add_noise(*given), g3["noisy_step1"])
    assert torch.equal(training_target(*given), g3["target_step1"])


# g4: inversion


def official(schedule: NoiseSchedule) -> NoiseSchedule:
    """The official inversion reads every prediction as noise, also that of a v-prediction base."""
    return dataclasses.replace(schedule, prediction_type="epsilon")


@pytest.mark.parametrize("name", BASES)
def test_noise_schedule(name: str, base: Callable[[str], Base]) -> None:
    assert_close(
        base(name).schedule.alphas_cumprod, recorded(name, "g4_inversion")["alphas_cumprod"], name, "g4 alphas_cumprod"
    )


@pytest.mark.parametrize(("name", "file", "key"), roster("g4_inversion", matching="^trajectory"))
def test_inversion(
    name: str, file: str, key: str, base: Callable[[str], Base], network: Callable[[str, str], VideoUNet]
) -> None:
    g4, video, seen = recorded(name, file), network(name, "random"), []
    schedule = base(name).schedule if key.endswith("vfixed_unofficial") else official(base(name).schedule)
    video.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    steps = list(invert(video, schedule, g4["clean"], g4["ehs_empty"], len(g4["timesteps"])))
    assert seen == g4["timesteps"].tolist()
    assert torch.equal(g4["clean"], g4[key][0])
    assert_close(torch.stack([step.latents for step in steps]), g4[key][1:], name, "g4 trajectory")


# g5: sampling


@pytest.mark.parametrize(("name", "guidance"), [(base, guidance) for base in BASES for guidance in ("12.5", "1")])
def test_sampling(
    name: str, guidance: str, base: Callable[[str], Base], network: Callable[[str, str], VideoUNet]
) -> None:
    g5, expected = recorded(name, "g5_sample"), below(f"g{guidance}", recorded(name, "g5_sample"))
    assert torch.equal(g5["start"], recorded(name, "g4_inversion")["trajectory"][-1])
    schedule, steps = base(name).schedule, len(g5["timesteps"])
    assert schedule.timesteps(steps) == g5["timesteps"].tolist()
    contexts = [g5["ehs_cond"]], g5["ehs_uncond"]
    done = list(sample(network(name, "random"), schedule, g5["start"], *contexts, float(guidance), steps))
    assert_close(done[0].latents, expected["latents_after_step1"], name, "g5 latents_*")
    assert_close(done[-1].latents, expected["latents_final"], name, "g5 latents_*")
    assert_close(returned(decode_latents(base(name).vae, done[-1].latents)), expected["video"], name, "g5 video")


@pytest.mark.parametrize("name", BASES)
def test_sampling_from_a_seed_with_a_negative_prompt(
    name: str, base: Callable[[str], Base], network: Callable[[str, str], VideoUNet]
) -> None:
    g5, parts = recorded(name, "g5_sample"), base(name)
    start = start_latents(g5["start"], SampleSettings(seed=7, inversion=False))
    assert_close(start, g5["seed7_initial_noise"], name, "g5 seed7_initial_noise")
    negative = encode_text(parts.tokenizer, parts.text_encoder, ["snow"])
    *_, last = sample(network(name, "random"), parts.schedule, start, [g5["ehs_cond"]], negative, 7.5, 3)
    assert_close(last.latents, g5["seed7_neg_snow_3steps_g7.5/latents_final"], name, "g5 latents_*")


# g6: the official program itself, from its own start to its own validation sample


def test_official_main(base: Callable[[str], Base], make_video: Callable[..., VideoUNet]) -> None:
    name, schedule = "sd2", base("sd2").schedule
    g6, video = recorded(name, "g6_official_main"), make_video("sd2", stirred=False)
    before = {key: value.clone() for key, value in (video.state_dict() | below("temp0", g6)).items()}
    video.load_state_dict(before)
    tuning = Tuning(video, TuneSettings(learning_rate=1e-3, scope="mid_up"))
    with learning(tuning):
        for latents, noise, t, prediction in zip(g6["latents"], g6["noise"], g6["t"].tolist(), g6["pred"], strict=True):
            with torch.no_grad():
                ours = video(add_noise(schedule, latents[None], noise[None], t), t, g6["ehs"])
            assert_close(ours, prediction[None], name, "g3 pred_step1")
            gradients(tuning, training_loss(video, schedule, latents[None], noise[None], t, g6["ehs"]))
            optimise(tuning)
    after = video.state_dict()
    assert {key for key in after if not torch.equal(after[key], before[key])} == below("after", g6).keys()
    assert_most_close(after, below("after", g6), name, "g6 after/*")

    steps, empty = len(g6["inv"]) - 1, recorded(name, "g4_inversion")["ehs_empty"]
    inverted = [step.latents for step in invert(video, official(schedule), g6["inv"][0], empty, steps)]
    assert_close(torch.stack(inverted), g6["inv"][1:], name, "g6 inv")
    g5 = recorded(name, "g5_sample")
    *_, last = sample(video, schedule, g6["inv"][-1], [g5["ehs_cond"]], g5["ehs_uncond"], 12.5, steps)
    assert_close(last.latents, g6["final_latents"], name, "g6 final_latents")
