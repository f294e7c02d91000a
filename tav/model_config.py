"""The fields of a base's config files that tav reads: types, bounds and defaults. No torch.

Other fields are ignored: they are for the libraries that build the networks.
"""

import json
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tav.errors import BaseModelError

# Each `description` ends the sentence "<field> must be ...".
Count = Annotated[int, Field(ge=1, le=65536, description="a whole number from 1 to 65536")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$", description="a name")]
Channels = Annotated[list[Count], Field(min_length=1, max_length=16, description="a list of 1 to 16 whole numbers")]
Blocks = Annotated[list[Name], Field(min_length=1, max_length=16, description="a list of 1 to 16 names")]
Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]
Tokens = Annotated[int, Field(ge=2, description="a whole number, at least 2")]
Beta = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]
Flag = Annotated[bool | None, Field(description="true or false")]
Anything = Annotated[Any, Field(description="anything")]

# No default here: the class that reads the field has one.
_NO_DEFAULT: Any = None


class Config(BaseModel):
    """Base of all configs: frozen, strict about types; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class UNetConfig(Config):
    """`unet/config.json`; the defaults are those of diffusers' UNet2DConditionModel."""

    class_name: Name = Field(default="UNet2DConditionModel", alias="_class_name")
    sample_size: Annotated[Count | Pair | None, Field(description="a whole number from 1 to 65536, or a pair")] = None
    in_channels: Count = 4
    out_channels: Count = 4
    cross_attention_dim: Annotated[Count | Channels, Field(description="a whole number, or a list of them")] = 1280
    down_block_types: Blocks = [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"]
    mid_block_type: Annotated[Name | None, Field(description="a name")] = "UNetMidBlock2DCrossAttn"
    up_block_types: Blocks = ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3]
    only_cross_attention: Annotated[bool | list[bool] | None, Field(description="true or false, or a list of them")] = (
        None
    )
    mid_block_only_cross_attention: Flag = None
    dual_cross_attention: Flag = None
    resnet_time_scale_shift: Name = "default"
    attention_type: Name = "default"
    addition_embed_type: Anything = None
    class_embed_type: Anything = None
    num_class_embeds: Anything = None
    encoder_hid_dim: Anything = None
    encoder_hid_dim_type: Anything = None
    time_cond_proj_dim: Anything = None


class VaeConfig(Config):
    """`vae/config.json`; the defaults are those of diffusers' AutoencoderKL."""

    class_name: Name = Field(default="AutoencoderKL", alias="_class_name")
    block_out_channels: Channels = [64]
    latent_channels: Count = 4
    scaling_factor: Annotated[float, Field(gt=0, description="a number above 0")] = _NO_DEFAULT
    shift_factor: Anything = None
    latents_mean: Anything = None
    latents_std: Anything = None


class TextConfig(Config):
    """`text_encoder/config.json`; the defaults are those of transformers' CLIPTextModel."""

    architectures: Annotated[list[Name] | None, Field(description="a list of names")] = None
    hidden_size: Count = 512
    max_position_embeddings: Annotated[Tokens, Field(le=65536, description="a whole number from 2 to 65536")] = 77


class TokenizerConfig(Config):
    """`tokenizer/tokenizer_config.json`, which may be absent."""

    # No upper bound: 10 ** 30 is how the library writes "none".
    model_max_length: Annotated[Tokens | None, Field(description="a whole number, at least 2")] = None


class SchedulerConfig(Config):
    """`scheduler/scheduler_config.json` of any class: the fields that DDIM uses.

    The defaults are the values Stable Diffusion was trained with, not those of a library.
    """

    num_train_timesteps: Count = 1000
    beta_start: Beta = 0.00085
    beta_end: Beta = 0.012
    beta_schedule: Annotated[Literal["scaled_linear", "linear"], Field(description="scaled_linear or linear")] = (
        "scaled_linear"
    )
    trained_betas: Annotated[
        list[Beta] | None, Field(min_length=1, max_length=65536, description="a list of numbers between 0 and 1")
    ] = None
    prediction_type: Annotated[Literal["epsilon", "v_prediction"], Field(description="epsilon or v_prediction")] = (
        "epsilon"
    )
    set_alpha_to_one: Annotated[bool, Field(description="true or false")] = False
    steps_offset: Annotated[int, Field(ge=0, description="a whole number, at least 0")] = 1
    clip_sample: Annotated[
        Literal[False] | None, Field(description="false (predictions of pixels are clipped, not those of latents)")
    ] = None
    thresholding: Annotated[
        Literal[False] | None, Field(description="false (it is for predictions of pixels, not of latents)")
    ] = None
    rescale_betas_zero_snr: Annotated[
        Literal[False] | None, Field(description="false (DDIM inversion is not defined at zero terminal SNR)")
    ] = None

    @property
    def num_levels(self) -> int:
        return self.num_train_timesteps if self.trained_betas is None else len(self.trained_betas)

    @model_validator(mode="after")
    def _offset_is_a_level(self) -> "SchedulerConfig":
        if self.steps_offset >= self.num_levels:
            raise ValueError(
                f"steps_offset must be below the number of timesteps, {self.num_levels}, not {self.steps_offset}"
            )
        return self


C = TypeVar("C", bound=Config)


def read_config(kind: type[C], values: Any, where: str) -> C:
    """`values` (a JSON object, or a `kind`) as a `kind`. Raises BaseModelError that names `where` and the field."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        said = _sentence(kind, error.errors(include_url=False)[0], values)
        raise BaseModelError(f"{where}: {said}", "correct it if that is a mistake, or choose another base") from None


def _sentence(kind: type[Config], problem: Any, values: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = problem["loc"][0]
    if problem["type"] == "missing":
        return f"{name} is missing"
    fields = {field.alias or plain: field for plain, field in kind.model_fields.items()}
    return f"{name} must be {fields[name].description}, not {reprlib.repr(values[name])}"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises BaseModelError that names the file if it holds none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelError(f"cannot read {path}: {str(error).splitlines()[0]}", "fetch the base again") from None
    if not isinstance(values, dict):
        raise BaseModelError(f"cannot read {path}: not a JSON object", "fetch the base again")
    return values
