"""`tav doctor`: is everything there that tav needs?"""

import os
import platform
from typing import Any

import typer

import tav
from tav.errors import SettingsError, TavError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.config.home import cache_folder, config_folder
from tavcli.config.templates import templates


def doctor(context: typer.Context) -> None:
    """Check this machine: device, precision, libraries, ffmpeg, bases, workspace. Exits with 1 if anything is wrong."""
    options: Options = context.obj
    out = Output(options)
    facts = {"tav": tav.__version__, "python": platform.python_version(), "templates": str(templates())}
    facts |= {"user settings": str(config_folder()), "user cache": str(cache_folder())}
    problems: list[str] = []
    for check in (_libraries, _device, _ffmpeg, _bases, _workspace):
        try:
            facts |= check(options)
        except (TavError, ImportError, OSError) as error:
            problems.append(f"{check.__name__.strip('_')}: {error}")
    data = {**facts, "problems": problems}
    out.result(data, [f"{name + ':':15}{value}" for name, value in facts.items()])
    for problem in problems:
        out.warn(problem)
    if problems:
        raise typer.Exit(1)


def _libraries(_: Options) -> dict[str, Any]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "diffusers", "transformers", "safetensors", "huggingface_hub")}


def _device(options: Options) -> dict[str, Any]:
    import torch

    from tav.compute.device import choose_device, choose_precision
    from tav.settings import parse
    from tavcli.config.settings import DeviceSettings

    wanted = parse(DeviceSettings, options.flags(), "command line")
    device = choose_device(wanted.device)
    precision, reason = choose_precision(wanted.precision, device)
    facts = {"device": str(device), "precision": precision, "reason": reason}
    if device.type == "cuda":
        facts["gpu"] = f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[0] / 1e9:.1f} GB free"
    return {**facts, "threads": torch.get_num_threads(), "cores": os.cpu_count()}


def _ffmpeg(_: Options) -> dict[str, Any]:
    import imageio_ffmpeg

    return {"ffmpeg": imageio_ffmpeg.get_ffmpeg_version()}


def _bases(_: Options) -> dict[str, Any]:
    from tav.bases.catalog import cached_bases
    from tav.bases.embedded import EMBEDDED, is_there

    cached = ", ".join(base.name for base in cached_bases()) or "none"
    offline = "yes" if os.environ.get("HF_HUB_OFFLINE") else "no, but nothing is fetched unasked"
    embedded = EMBEDDED if is_there() else "none in this copy of tav"
    return {"embedded base": embedded, "cached bases": cached, "hub offline": offline}


def _workspace(options: Options) -> dict[str, Any]:
    """The workspace here, if there is one, with its settings and base checked."""
    from tavcli.workspace.session import Session

    try:
        workspace = options.workspace()
    except SettingsError:
        if options.folder is not None:
            raise
        return {"workspace": "none here"}
    session = Session(workspace, options.flags())
    return {"workspace": str(workspace.folder), "base": f"{session.settings.base}, complete"}
