"""`tav bases`: which text-to-image models are on this machine, what they are, and fetching one when asked to."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.bases.lexicon import Lexicon
from tav.errors import SettingsError
from tavcli import exchange
from tavcli.console import Talk, size
from tavcli.options import Options

app = typer.Typer(help="Text-to-image bases: list, fetch, info.", no_args_is_help=True)

HUB_CACHE = "hub cache"


@app.command("list")
def list_bases(context: typer.Context) -> None:
    """List the embedded base and those in the local hub cache. A folder in the diffusers layout is a base too."""
    options: Options = context.obj
    talk = Talk(options)
    data = list(_known_bases())
    rows = [[base["name"], size(base["size"]), base["place"], base["path"]] for base in data]
    talk.table(data, ["name", "size", "place", "path"], rows)
    if not any(base["place"] == HUB_CACHE for base in data):
        talk.say("no bases in the hub cache; `tav bases fetch NAME` downloads one, a folder is named by its path")


def _known_bases() -> Iterator[dict[str, Any]]:
    """Name, path, size in bytes and place of each base that has a name here."""
    from tav.bases.catalog import cached_bases
    from tav.bases.embedded import EMBEDDED, FOLDER, is_there

    if is_there():
        taken = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
        yield {"name": EMBEDDED, "path": str(FOLDER), "size": taken, "place": "embedded"}
    for base in cached_bases():
        yield {"name": base.name, "path": str(base.path), "size": base.size, "place": HUB_CACHE}


@app.command()
def info(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME|PATH")]) -> None:
    """Say what a base is: its sizes, what it predicts, what it recommends."""
    from tav.bases.catalog import resolve
    from tav.bases.digest import base_digest
    from tav.bases.parts import inspect_base
    from tavcli.fingerprint import digest_cache

    parts = inspect_base(resolve(name))
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
    Talk(context.obj).result({**facts, "recommends": recommended}, lines)


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
    talk = Talk(options)
    plan = catalog.plan_fetch(name)
    talk.say(f"{plan.name}: {len(plan.files)} files, {size(plan.total)}, licence {plan.licence}")
    if options.dry_run:
        talk.result(
            {"name": plan.name, "size": plan.total, "licence": plan.licence, "files": [file for file, _ in plan.files]}
        )
        return
    if not yes and not sys.stdin.isatty():
        raise SettingsError("nobody is there to ask whether to download", "--yes downloads without asking")
    if not yes and not typer.confirm("download it?", err=True):
        return
    folder = catalog.fetch(plan)
    talk.result({"name": name, "path": str(folder)}, [str(folder)])


@app.command()
def extract(
    context: typer.Context,
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="A folder of the official Tune-A-Video code.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The base to make.")],
) -> None:
    """Take the text-to-image base out of an official pipeline, for `tav import`. Its queries are the tuned ones."""
    options: Options = context.obj
    talk = Talk(options)
    parts, needed = exchange.base_in(pipeline, folder)
    talk.say(f"{folder}: about {size(needed)}")
    if not options.dry_run:
        exchange.extract(parts, folder)
    talk.result({"path": str(folder.resolve()), "size": needed}, [] if options.dry_run else [str(folder)])
