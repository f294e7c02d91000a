"""Functions that read files, run in threads beside the event loop.

The threads are daemons: quitting waits for no slow disk. A screen that was closed meanwhile gets no result.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

from textual.screen import Screen
from textual.worker import NoActiveWorker, get_current_worker

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The result of `function`, called in a daemon thread of its own.

    Raises what `function` raises, and CancelledError in a worker of a screen that is closed.
    """
    future: Future[T] = Future()

    def work() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments, **named))
            except BaseException as error:
                future.set_exception(error)

    Thread(target=work, name="in_thread", daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    finally:
        end_if_left()


def end_if_left() -> None:
    """Raise CancelledError in a worker of a screen that is closed or being closed."""
    try:
        node = get_current_worker().node
    except NoActiveWorker:
        return
    if isinstance(node, Screen) and not (node.is_attached and node.display):
        raise asyncio.CancelledError
