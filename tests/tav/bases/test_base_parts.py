"""The preflight: what it takes, what it refuses and in which words, without reading weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tav.bases import inspect_base
from tav.bases.parts import BaseParts, Configs, Part
from tav.bases.sizes import check_size, fitting_size
from tav.bases.weight_files import Weights, choose_download, find_weights
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import BaseModelError, SettingsError
from tav.model_config import SchedulerConfig, TextConfig, TokenizerConfig, UNetConfig, VaeConfig
from tav.settings import BaseRecommendation

SAFE, BIN = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
HALF_SAFE, HALF_BIN = "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.fp16.bin"


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        inspect_base(folder)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_properties(tiny_base: Path, golden: Path) -> None:
    tiny = inspect_base(tiny_base)
    assert (tiny.vae_factor, tiny.latent_channels, tiny.size_multiple, tiny.native_size) == (4, 4, 8, (32, 32))
    assert (tiny.prediction_type, tiny.text_tokens) == ("epsilon", 77)
    sd2 = inspect_base(golden / "sd2" / "base")
    assert (sd2.vae_factor, sd2.size_multiple, sd2.native_size) == (8, 64, (128, 128))
    assert (sd2.prediction_type, sd2.text_tokens) == ("v_prediction", 16)


def test_sample_size_may_be_a_pair_or_absent(base: Path) -> None:
    edit(base / "unet" / "config.json", sample_size=[8, 16])
    assert inspect_base(base).native_size == (64, 32)
    edit(base / "unet" / "config.json", sample_size=None)
    assert inspect_base(base).native_size == (256, 256)


def test_everything_missing_is_said_at_once(base: Path) -> None:
    (base / "unet" / SAFE).unlink()
    (base / "vae" / "config.json").unlink()
    (base / "tokenizer" / "vocab.json").unlink()
    shutil.rmtree(base / "scheduler")
    message = refusal(base)
    assert "is incomplete: missing" in message
    for name in ("unet weights", "vae/config.json", "tokenizer/vocab.json", "scheduler/scheduler_config.json"):
        assert name in message
    assert "merges.txt" not in message


def test_no_folder_and_broken_configs(base: Path) -> None:
    assert "no folder" in refusal(base / "nothing")
    for text in ("{ not json", "[1]", "\x80"):
        (base / "vae" / "config.json").write_bytes(text.encode("latin-1"))
        assert str(base / "vae" / "config.json") in refusal(base)


def test_model_index_is_not_needed(base: Path) -> None:
    assert not (base / "model_index.json").exists()
    (base / "model_index.json").write_text('{"unet": ["models", "NoSuchClass"]}')
    inspect_base(base)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("unet", {"_class_name": "UNet3DConditionModel"}, "video UNet"),
        ("unet", {"_class_name": "SD3Transformer2DModel"}, "not a UNet2DConditionModel"),
        ("unet", {"addition_embed_type": "text_time"}, "SDXL"),
        ("unet", {"encoder_hid_dim_type": "text_proj"}, "encoder_hid_dim_type"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type"),
        ("unet", {"num_class_embeds": 1000}, "num_class_embeds"),
        ("unet", {"time_cond_proj_dim": 256}, "time_cond_proj_dim"),
        ("unet", {"down_block_types": ["AttnDownBlock2D", "DownBlock2D"]}, "AttnDownBlock2D"),
        ("unet", {"up_block_types": ["UpBlock2D", "SimpleCrossAttnUpBlock2D"]}, "SimpleCrossAttnUpBlock2D"),
        ("unet", {"mid_block_type": "UNetMidBlock2D"}, "UNetMidBlock2D"),
        ("unet", {"dual_cross_attention": True}, "dual_cross_attention"),
        ("unet", {"only_cross_attention": [False, True]}, "only_cross_attention"),
        ("unet", {"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift"),
        ("unet", {"attention_type": "gated"}, "attention_type"),
        ("unet", {"in_channels": 9}, "takes 9 channels, its VAE has 4 (an inpainting or depth base?)"),
        ("unet", {"out_channels": 8}, "gives 8 channels"),
        ("unet", {"cross_attention_dim": 768}, "text of width 768, its text encoder gives 16"),
        ("vae", {"_class_name": "VQModel"}, "VQModel"),
        ("vae", {"shift_factor": 0.1}, "shift_factor"),
        ("text_encoder", {"architectures": ["CLIPTextModelWithProjection"]}, "CLIPTextModelWithProjection"),
    ],
)
def test_foreign_bases_are_refused(base: Path, part: str, changes: dict[str, Any], words: str) -> None:
    edit(base / part / "config.json", **changes)
    (base / "unet" / SAFE).unlink()  # being foreign is said before being incomplete
    message = refusal(base)
    assert "cannot be inflated" in message
    assert words in message


FILES = {
    "unet": ("unet/config.json", UNetConfig),
    "vae": ("vae/config.json", VaeConfig),
    "text_encoder": ("text_encoder/config.json", TextConfig),
    "tokenizer": ("tokenizer/tokenizer_config.json", TokenizerConfig),
    "scheduler": ("scheduler/scheduler_config.json", SchedulerConfig),
    "tav": ("tav.json", BaseRecommendation),
}


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("scheduler", "num_train_timesteps", "1000"),
        ("scheduler", "num_train_timesteps", 0),
        ("scheduler", "beta_start", None),
        ("scheduler", "beta_end", 1),
        ("scheduler", "beta_schedule", "squaredcos_cap_v2"),
        ("scheduler", "trained_betas", "x"),
        ("scheduler", "trained_betas", []),
        ("scheduler", "prediction_type", "sample"),
        ("scheduler", "prediction_type", None),
        ("scheduler", "steps_offset", None),
        ("scheduler", "steps_offset", -1),
        ("scheduler", "steps_offset", 1000),
        ("scheduler", "clip_sample", True),
        ("scheduler", "thresholding", True),
        ("scheduler", "rescale_betas_zero_snr", True),
        ("vae", "block_out_channels", 5),
        ("vae", "block_out_channels", []),
        ("vae", "latent_channels", True),
        ("vae", "scaling_factor", None),
        ("vae", "scaling_factor", "x"),
        ("vae", "scaling_factor", 0),
        ("vae", "scaling_factor", float("nan")),
        ("unet", "_class_name", None),
        ("unet", "sample_size", [8]),
        ("unet", "sample_size", "64"),
        ("unet", "sample_size", -8),
        ("unet", "down_block_types", "DownBlock2D"),
        ("unet", "cross_attention_dim", None),
        ("text_encoder", "max_position_embeddings", "77"),
        ("text_encoder", "max_position_embeddings", 1),
        ("text_encoder", "architectures", 5),
        ("text_encoder", "hidden_size", "16"),
        ("tokenizer", "model_max_length", "x"),
        ("tokenizer", "model_max_length", 0),
    ],
)
def test_a_field_that_says_what_cannot_be(base: Path, part: str, field: str, value: Any) -> None:
    path = base / FILES[part][0]
    edit(path, **{field: value})
    assert refusal(base).startswith(f"{path}: {field} must be ")


def test_what_is_not_read_is_not_judged(base: Path) -> None:
    edit(base / "scheduler" / "scheduler_config.json", timestep_spacing=5, _class_name=None)
    edit(base / "unet" / "config.json", block_out_channels="many")
    edit(base / "tokenizer" / "tokenizer_config.json", model_max_length=10**30)
    inspect_base(base)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [(file, field.alias or name) for file, model in FILES.values() for name, field in model.model_fields.items()]
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(fields, any_json, min_size=1, max_size=3))
def test_whatever_a_field_says_the_base_is_taken_or_refused(base: Path, changes: dict[tuple[str, str], Any]) -> None:
    written = {base / file: (base / file).read_bytes() for file, _ in FILES.values() if (base / file).exists()}
    for (file, field), value in changes.items():
        if not (base / file).exists():
            (base / file).write_text("{}")
        edit(base / file, **{field: value})
    said = ""
    try:
        parts = inspect_base(base)
        check_size(parts, *fitting_size(parts, 1.5))
        assert NoiseSchedule.from_config(parts.scheduler).alphas_cumprod.isfinite().all()
    except (BaseModelError, SettingsError) as error:
        said = error.message
    finally:
        (base / "tav.json").unlink(missing_ok=True)
        for path, content in written.items():
            path.write_bytes(content)
    assert "\n" not in said


def test_recommendation(base: Path) -> None:
    assert inspect_base(base).recommendation == BaseRecommendation.model_validate({})
    (base / "tav.json").write_text('{"size": [64, 32], "guidance_scale": 7.5}')
    parts = inspect_base(base)
    assert parts.recommendation.size == (64, 32)
    assert fitting_size(parts, 1.0) == (48, 48)
    (base / "tav.json").write_text('{"guidance": 7.5}')
    with pytest.raises(SettingsError, match=r"tav\.json: unknown setting `guidance`"):
        inspect_base(base)


def test_weights_by_preference(tmp_path: Path) -> None:
    assert find_weights(tmp_path, "unet") == ["unet weights"]
    for name in (HALF_BIN, BIN, HALF_SAFE, SAFE):
        (tmp_path / name).write_bytes(b"weights")
        assert find_weights(tmp_path, "unet") == Weights((tmp_path / name,))


def test_pointers_and_broken_links_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / SAFE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / HALF_SAFE).symlink_to(tmp_path / "nowhere")
    assert find_weights(tmp_path, "unet") == ["unet weights"]


@pytest.mark.parametrize(
    ("part", "index", "shard"),
    [
        ("unet", f"{SAFE}.index.json", "diffusion_pytorch_model-{}.safetensors"),
        ("unet", f"{SAFE}.index.fp16.json", "diffusion_pytorch_model.fp16-{}.safetensors"),
        ("unet", f"{HALF_SAFE}.index.json", "diffusion_pytorch_model-{}.fp16.safetensors"),
        ("unet", f"{BIN}.index.json", "diffusion_pytorch_model-{}.bin"),
        ("unet", f"{BIN}.index.fp16.json", "diffusion_pytorch_model.fp16-{}.bin"),
        ("text_encoder", "model.safetensors.index.json", "model-{}.safetensors"),
        ("text_encoder", "model.safetensors.index.fp16.json", "model.fp16-{}.safetensors"),
        ("text_encoder", "pytorch_model.bin.index.json", "pytorch_model-{}.bin"),
    ],
)
def test_shards(tmp_path: Path, part: str, index: str, shard: str) -> None:
    shards = [shard.format(f"0000{number}-of-00002") for number in (1, 2)]
    (tmp_path / index).write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1], "c": shards[1]}}))
    (tmp_path / shards[0]).write_bytes(b"weights")
    assert find_weights(tmp_path, part) == [f"{part}/{shards[1]}"]
    (tmp_path / shards[1]).write_bytes(b"weights")
    assert find_weights(tmp_path, part) == Weights(tuple(tmp_path / name for name in shards), tmp_path / index)
    listed = [f"{part}/{name}" for name in (index, *shards)]
    assert choose_download(listed, part) == sorted(listed)


def test_an_index_of_anything_but_names_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{SAFE}.index.json").write_text('{"weight_map": {"a": 1, "b": "x.safetensors", "c": ["y"]}}')
    assert find_weights(tmp_path, "unet") == ["unet/x.safetensors"]


def test_a_shard_outside_its_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "secret.safetensors").write_bytes(b"weights")
    listed = {"weight_map": {"a": "../secret.safetensors"}}
    (tmp_path / "unet" / f"{SAFE}.index.json").write_text(json.dumps(listed))
    assert find_weights(tmp_path / "unet", "unet") == ["unet weights"]


def test_the_smallest_download_is_chosen() -> None:
    names = [f"unet/{name}" for name in (SAFE, BIN, HALF_SAFE, HALF_BIN, "diffusion_pytorch_model.non_ema.safetensors")]
    assert choose_download(names, "unet") == [f"unet/{HALF_SAFE}"]
    assert choose_download([f"unet/{BIN}", f"unet/{SAFE}"], "unet") == [f"unet/{SAFE}"]
    assert choose_download([f"unet/{BIN}", f"unet/{HALF_BIN}"], "unet") == [f"unet/{HALF_BIN}"]
    assert choose_download([f"vae/{BIN}", "unet/config.json"], "unet") == []


def parts_of(vae_levels: int, unet_levels: int, sample_size: int) -> BaseParts:
    part = Part({}, Path("config.json"), Weights(()))
    configs = Configs(
        UNetConfig(sample_size=sample_size, down_block_types=["DownBlock2D"] * unet_levels),
        VaeConfig(block_out_channels=[8] * vae_levels),
        TextConfig(),
        SchedulerConfig(),
    )
    return BaseParts(Path("/x"), part, part, part, (), configs, BaseRecommendation.model_validate({}))


any_parts = st.builds(parts_of, st.integers(1, 4), st.integers(1, 4), st.sampled_from([8, 32, 64, 96]))


@given(any_parts, st.floats(0.1, 10))
def test_a_fitting_size_fits(parts: BaseParts, aspect: float) -> None:
    width, height = fitting_size(parts, aspect)
    multiple = parts.size_multiple
    assert width % multiple == height % multiple == 0
    assert min(width, height) >= multiple
    check_size(parts, width, height)
    area = parts.native_size[0] * parts.native_size[1]
    assert abs(width - (area * aspect) ** 0.5) <= multiple / 2 or width == multiple
    assert abs(height - (area / aspect) ** 0.5) <= multiple / 2 or height == multiple


@given(any_parts, st.integers(1, 4096), st.integers(1, 4096))
def test_a_size_that_does_not_fit_names_one_that_does(parts: BaseParts, width: int, height: int) -> None:
    factor = parts.vae_factor
    if width % factor == height % factor == 0:
        check_size(parts, width, height)
        return
    with pytest.raises(SettingsError) as caught:
        check_size(parts, width, height)
    near = [int(side) for side in caught.value.hint.removeprefix("the nearest is ").split("x")]
    check_size(parts, *near)
    for side, nearest in zip((width, height), near, strict=True):
        assert abs(side - nearest) <= factor / 2 or nearest == factor


def test_the_native_square_and_wide_clips(golden: Path) -> None:
    parts = inspect_base(golden / "sd2" / "base")
    assert fitting_size(parts, 1.0) == (128, 128)
    assert fitting_size(parts, 16 / 9) == (192, 128)
