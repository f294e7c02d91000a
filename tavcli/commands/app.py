"""The command line: global flags, the commands, and the one door that every error goes through."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import tav
from tav.errors import TavError
from tavcli.commands import bases, clean, demo, doctor, gallery, init, methods, queue, show, weights, work
from tavcli.commands.console import Output, flush, say_anything
from tavcli.commands.options import Options, globals_first
from tavcli.config.bug_report import report
from tavcli.interrupts import Interrupted, interrupts

app = typer.Typer(
    name="tav",
    help="Edit a real video by rewriting its caption.\n\n"
    "tav init CLIP --caption TEXT makes a workspace, tav tune teaches the base that clip, "
    "tav edit PROMPT makes a video.",
    epilog="Global flags go before or after the command's name. Exit codes: 0 done, 1 expected failure, 2 usage, "
    "3 a bug in tav, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("tune")(methods.tune)
app.command("invert")(methods.invert)
app.command("edit")(methods.edit)
app.command("import")(weights.import_)
app.command("export")(weights.export)
app.command("demo")(demo.demo)
app.command("ls")(show.ls)
app.command("show")(show.show)
app.command("gallery")(gallery.gallery)
app.command("doctor")(doctor.doctor)
app.command("clean")(clean.clean)
app.command("work")(work.work)
app.add_typer(queue.app, name="queue")
app.add_typer(bases.app, name="bases")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tav {tav.__version__}")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option("-C", "--workspace", metavar="FOLDER", help="The workspace, if it is not this folder's."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cuda, mps or cpu.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto, fp32, bf16 or fp16: of the frozen weights; tuned ones are float32."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Fail at once when another process writes what is needed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and results.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="More about what happens.")] = False,
    version: Annotated[  # noqa: ARG001  (its callback acts)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Options(workspace, device, precision, as_json, dry_run, quiet, verbose, no_wait)


@app.command("ui")
def _ui(
    context: typer.Context,
    web: Annotated[bool, typer.Option("--web", help="Serve it to a browser on this machine.")] = False,
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="The port, with --web.")] = 8000,
) -> None:
    """Open the workspace you are in, or the library of those in this folder, as a terminal application."""
    options: Options = context.obj
    if web:
        from tavcli.tui.web import serve

        serve(options.folder, options.words(), port, Output(options).say)
        return
    from tavcli.tui.launch import open_here

    open_here(options.folder, options.words())


def main() -> None:
    """Entry point of `tav`."""
    # Waiting threads that spin make torch several times slower where cores are shared; read once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    say_anything()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    code = _run(arguments)
    try:
        flush()
    except BrokenPipeError:
        return code or 1
    except OSError as error:
        _complain(f"error: standard output: {error.strerror}", "what it said is incomplete; what it did is done")
        return code or 1
    return code


def _run(arguments: list[str]) -> int:
    try:
        interrupts.install(lambda: _complain("stopping when this step is done and saved", "once more stops at once"))
        app(globals_first(arguments), prog_name="tav")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except (Interrupted, KeyboardInterrupt) as stop:
        _complain("interrupted", str(stop) or "the same command goes on where it was")
        return 130
    except TavError as error:
        _complain(f"error: {error.message}", error.hint)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except MemoryError:  # before there is anything to take less of: while libraries load
        _complain("error: out of memory", "close other programs, or raise the limit this process runs under")
        return 1
    except OSError as error:
        if interrupts.pending:  # the terminal went away, and with it the place for a last word
            return 130
        _complain(
            f"error: {error.filename2 or error.filename or 'input or output'}: {error.strerror or error}",
            "check the path, its permissions and the free space; nothing half-written is left",
        )
        return 1
    except Exception as error:  # a bug: keep what is needed to mend it
        _complain(f"bug: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", report())
        return 3
    return 0


def _complain(message: str, hint: str) -> None:
    lines = [" ".join(message.split()), *([f"  {' '.join(hint.split())}"] if hint else [])]
    # The terminal may be gone (SIGHUP): what has to be saved comes before what has to be said.
    with suppress(OSError, ValueError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
