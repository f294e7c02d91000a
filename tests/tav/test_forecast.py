"""Forecasts: counted costs against the formula of the method's cost, the ladder, and a calibration of a real device."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from tav import forecast
from tav.bases.parts import BaseParts, inspect_base
from tav.compute.flops import count
from tav.forecast import Shape, Work, calibrate, cost, tuned_values, weights
from tav.nets.inflate import inflate
from tav.nets.kernels import Kernels
from tav.nets.recompute import RUNGS, Rung

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(tiny_base: Path) -> BaseParts:
    return inspect_base(tiny_base)


@pytest.fixture
def shape() -> Shape:
    return Shape(6, (32, 32), torch.float32)


@pytest.mark.parametrize(("frames", "side"), [(8, 32), (24, 64)])
def test_operations_of_stable_diffusion_follow_the_counted_formula(frames: int, side: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
        )
    video = inflate(unet).to("meta")
    latents, context = torch.empty(1, 4, frames, side, side, device="meta"), torch.empty(1, 77, 768, device="meta")
    with torch.no_grad():
        flops = count(lambda: video(latents, 500, context)).flops
    tokens = side * side
    formula = frames * tokens * (178.4e6 + 14602.5 * tokens + 11280 * frames)
    # The formula has frames 0 and 1 attend to 2N keys, and the text projected for every frame.
    assert 0.9 * formula < flops < formula


def test_every_rung_keeps_less_and_computes_more(parts: BaseParts, shape: Shape) -> None:
    costs = [cost(parts, shape, "learn", rung) for rung in RUNGS]
    assert [one.peak for one in costs] == sorted((one.peak for one in costs), reverse=True)
    assert costs[0].peak > 1.3 * costs[-1].peak
    assert [one.flops for one in costs] == sorted(one.flops for one in costs)


def test_costs_are_linear_in_frames_and_half_as_large_in_half_precision(parts: BaseParts) -> None:
    few, more, most = (cost(parts, Shape(frames, (64, 64), torch.float32), "learn") for frames in (4, 8, 12))
    assert most.flops - more.flops == pytest.approx(more.flops - few.flops, rel=0.02)
    assert most.peak - more.peak == pytest.approx(more.peak - few.peak, rel=0.05)
    half = cost(parts, Shape(12, (64, 64), torch.bfloat16), "learn")
    assert half.flops == most.flops
    assert 0.4 < half.peak / most.peak < 0.7


def test_learning_in_part_costs_less(parts: BaseParts, shape: Shape) -> None:
    part = Shape(shape.frames, shape.size, shape.dtype, scope="mid_up")
    assert cost(parts, part, "learn").peak < cost(parts, shape, "learn").peak
    assert tuned_values(parts, part) < tuned_values(parts, shape)


def test_inference_costs_least(parts: BaseParts, shape: Shape) -> None:
    learn, infer = cost(parts, shape, "learn"), cost(parts, shape, "infer")
    assert 2 * infer.flops < learn.flops
    assert infer.peak < learn.peak


def test_weights_are_those_that_load(parts: BaseParts, shape: Shape) -> None:
    from tav.bases.load import load_unet, load_vae

    found = weights(parts, shape)
    vae, unet = load_vae(parts), load_unet(parts)
    assert found["vae"] == sum(x.nbytes for x in vae.state_dict().values())
    video = inflate(unet)
    bases = sum(tuned.base.nbytes for tuned in video.tuned.values() if tuned.base is not None)
    assert found["unet"] == sum(x.nbytes for x in video.state_dict().values()) + bases


@pytest.mark.parametrize("work", ["learn", "infer", "encode", "decode"])
def test_a_calibration_finds_the_speed_of_its_device(work: Work, parts: BaseParts, monkeypatch: Any) -> None:
    """By a clock that goes on with what is computed: a billion operations a second."""
    now, prepared = [0.0], forecast._prepared

    def at_a_billion(parts: BaseParts, shape: Shape, work: Work, rung: Rung, device: Any, kernels: Any) -> Any:
        step = prepared(parts, shape, work, rung, device, kernels)
        if device == "meta":
            return step

        def run() -> None:
            step()
            now[0] += cost(parts, shape, work, kernels=kernels).flops / 1e9

        return run

    monkeypatch.setattr(forecast, "_prepared", at_a_billion)
    monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    speed = calibrate(parts, Shape(12, (64, 64), torch.float32), work, CPU, Kernels())
    assert speed.flops == pytest.approx(1e9, rel=1e-6)
    assert speed.overhead >= 0
    assert 1 <= speed.scale <= 4
