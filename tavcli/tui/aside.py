"""Reading files beside the event loop. It does not keep the program alive: whoever quits waits for no slow disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The result of `function`, called in a thread of its own that ends with the program. Raises what it raises."""
    future: Future[T] = Future()

    def work() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments, **named))
            except BaseException as error:
                future.set_exception(error)

    Thread(target=work, name="aside", daemon=True).start()
    return await asyncio.wrap_future(future)
