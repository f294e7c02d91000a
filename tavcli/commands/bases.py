"""`tav bases`: which text-to-image models are on this machine, what they are, and getting and choosing one."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.bases.digest import base_digest
from tav.bases.lexicon import Lexicon
from tav.bases.parts import inspect_base
from tav.errors import SettingsError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.commands.switch_base import use
from tavcli.config import bases
from tavcli.config.bases import HUB_CACHE, Entry, KnownBase, find_base, folder_size, free_name, known_bases
from tavcli.export import weights
from tavcli.methods import convert_base
from tavcli.methods.convert_base import Conversion
from tavcli.text import printable
from tavcli.units import size
from tavcli.workspace.fingerprint import digest_cache

app = typer.Typer(help="Text-to-image bases: list, add, fetch, choose.", no_args_is_help=True)


@app.command("list")
def list_bases(context: typer.Context) -> None:
    """List the embedded base, those that were added, and those in the local hub cache."""
    out = Output(context.obj)
    known = list(known_bases())
    data = [asdict(base) | {"path": str(base.path)} for base in known]
    out.table(data, ["name", "size", "place", "path"], map(_row, known))
    if not any(base.place == HUB_CACHE for base in known):
        out.say("no bases in the hub cache; `tav bases fetch NAME` downloads one, `tav bases add PATH` takes a folder")


def _row(base: KnownBase) -> list[str]:
    place = f"{base.place}, gone" if base.gone else base.place
    return [base.name, "-" if base.gone else size(base.size), place, printable(str(base.path))]


@app.command()
def add(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A diffusers folder, or a whole checkpoint (.safetensors).")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its short name; the file's own if left out.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="BASE", help="For a file: the base whose configs and tokenizer it takes.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give a folder a short name, or make a base of a checkpoint of one file, once."""
    out = Output(context.obj)
    if path.is_file():
        _convert(context.obj, out, convert_base.plan(path, name, like), yes)
        return
    if like is not None:
        raise SettingsError("--like is for checkpoints of one file", "a folder has configs of its own")
    parts = inspect_base(path.expanduser().resolve())
    chosen = free_name(name, path.resolve())
    if not context.obj.dry_run:
        bases.add(chosen, Entry(path=str(parts.folder)))
        out.say(_added(chosen))
    out.result({"name": chosen, "path": str(parts.folder)}, [] if context.obj.dry_run else [chosen])


def _convert(options: Options, out: Output, planned: Conversion, yes: bool) -> None:
    predicts = planned.like.prediction_type
    out.say(f"{planned.folder}: about {size(planned.bytes)}")
    out.say(
        f"configs, tokenizer and schedule of {planned.like_name}, which predicts {predicts} (--like BASE: another's)"
    )
    if not options.dry_run:
        if not _agreed(yes, "convert", "make this folder?"):
            return
        convert_base.convert(planned)
        out.say(_added(planned.name))
    facts = {"name": planned.name, "path": str(planned.folder), "size": planned.bytes, "like": planned.like_name}
    out.result(facts, [] if options.dry_run else [planned.name])


def _added(name: str) -> str:
    return f"in your list as {name}: tav init CLIP --base {name}, or in a workspace: tav bases use {name}"


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a base out of the list. A folder stays where it is; one that tav made from a file is removed."""
    out = Output(context.obj)
    entry = bases.listed(name)
    ours = bases.is_converted(name, entry)
    if ours:
        out.say(f"{entry.folder}, made from {entry.converted_from}, goes too: {size(folder_size(entry.folder))}")
    out.say(
        f"tav does not know which workspaces use {name}: those say so, until it is added again or another is chosen"
    )
    if context.obj.dry_run or (ours and not _agreed(yes, "remove", "remove it?")):
        return
    bases.remove(name)
    out.result({"name": name, "path": str(entry.folder), "removed": ours}, [])


def _agreed(yes: bool, verb: str, question: str) -> bool:
    """Was it told to? Asks who is at the terminal. Raises SettingsError when nobody is."""
    if not yes and not sys.stdin.isatty():
        raise SettingsError(f"nobody is there to ask whether to {verb}", f"--yes {verb}s without asking")
    return yes or typer.confirm(question, err=True)


@app.command()
def info(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME|PATH")]) -> None:
    """Say what a base is: its sizes, what it predicts, what it recommends."""
    parts = inspect_base(find_base(name))
    facts = {
        "folder": str(parts.folder),
        "native size": "{}x{}".format(*parts.native_size),
        "sizes": f"multiples of {parts.vae_factor}, best of {parts.size_multiple}",
        "latent channels": parts.latent_channels,
        "predicts": parts.prediction_type,
        "text tokens": parts.text_tokens,
        "disk": size(sum(path.stat().st_size for path in parts.files)),
        "digest": base_digest(parts, digest_cache()),
        "words": _words(parts.lexicon),
    }
    recommended = parts.recommendation.model_dump(mode="json", exclude_none=True)
    advice = ", ".join(f"{name} {_plain(value)}" for name, value in recommended.items()) or "nothing"
    lines = [f"{name + ':':17}{value}" for name, value in {**facts, "recommends": advice}.items()]
    Output(context.obj).result({**facts, "recommends": recommended}, lines)


def _words(lexicon: Lexicon | None) -> str:
    return "any" if lexicon is None else f"{len(lexicon.words)} known, {len(lexicon.spare)} spare"


def _plain(value: Any) -> str:
    """A size as people write it, a number as it is."""
    return "x".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


@app.command()
def fetch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="owner/name on the hub.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Download a base from the hub into its cache, after showing size and licence."""
    from tav.bases import catalog

    options: Options = context.obj
    out = Output(options)
    plan = catalog.plan_fetch(name)
    out.say(f"{plan.name}: {len(plan.files)} files, {size(plan.total)}, licence {plan.licence}")
    if options.dry_run:
        out.result(
            {"name": plan.name, "size": plan.total, "licence": plan.licence, "files": [file for file, _ in plan.files]}
        )
        return
    if not _agreed(yes, "download", "download it?"):
        return
    folder = catalog.fetch(plan)
    out.result({"name": name, "path": str(folder)}, [str(folder)])


@app.command()
def extract(
    context: typer.Context,
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="A folder of the official Tune-A-Video code.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The base to make.")],
) -> None:
    """Take the text-to-image base out of an official pipeline, for `tav import`. Its queries are the tuned ones."""
    options: Options = context.obj
    out = Output(options)
    parts, needed = weights.base_in(pipeline, folder)
    out.say(f"{folder}: about {size(needed)}")
    if not options.dry_run:
        weights.extract(parts, folder)
    out.result({"path": str(folder.resolve()), "size": needed}, [] if options.dry_run else [str(folder)])


app.command("use")(use)
