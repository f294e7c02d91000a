"""`tav bases`: which text-to-image models are on this machine, what they are, and fetching one when asked to."""

import sys
from typing import Annotated

import typer

from tav.errors import SettingsError
from tavcli.console import Talk, size
from tavcli.options import Options

app = typer.Typer(help="Text-to-image bases: list, fetch, info.", no_args_is_help=True)


@app.command("list")
def list_bases(context: typer.Context) -> None:
    """List the bases in the local hub cache. A folder in the diffusers layout is a base too: name it by its path."""
    from tav.bases.catalog import cached_bases

    options: Options = context.obj
    talk = Talk(options)
    found = cached_bases()
    data = [{"name": base.name, "path": str(base.path), "size": base.size} for base in found]
    if not found and not options.json:
        talk.say("no bases in the hub cache; `tav bases fetch NAME` downloads one, a folder is named by its path")
        return
    talk.table(data, ["name", "size", "path"], [[base.name, size(base.size), str(base.path)] for base in found])


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
        "recommends": parts.recommendation.model_dump(exclude_none=True) or "nothing",
    }
    Talk(context.obj).result(facts, [f"{name + ':':17}{value}" for name, value in facts.items()])


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
