"""Denoisers: what the network predicts for latents at a timestep, with prompt and guidance inside."""

from collections.abc import Callable

from torch import Tensor

Denoiser = Callable[[Tensor, int], Tensor]
"""`denoiser(latents, t)` is the prediction for latents at timestep `t`, of the latents' shape."""
Network = Callable[[Tensor, int, Tensor], Tensor]
"""`network(latents, t, context)` is the prediction under a text context (1 n d)."""


def conditioned(network: Network, context: Tensor) -> Denoiser:
    """The denoiser for one text context; it predicts in float32."""
    return lambda latents, t: network(latents, t, context).float()


def guided(text: Denoiser, unconditional: Denoiser, scale: float) -> Denoiser:
    """The denoiser with classifier-free guidance; a step calls `text` first, then `unconditional`.

    Scale 1 is `text` itself, so `unconditional` is never called.
    """
    if scale == 1:
        return text
    return lambda latents, t: combine(text(latents, t), unconditional(latents, t), scale)


def combine(text: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """The guided prediction: unconditional + scale * (text - unconditional), Ho & Salimans, arXiv 2207.12598."""
    return unconditional + scale * (text - unconditional)


def shared(denoiser: Denoiser, start: Tensor) -> Denoiser:
    """A denoiser that keeps its predictions for `start`, by timestep, and gives them again to later prompts.

    `start` is recognised as an object: equal latents in another tensor are predicted anew.
    """
    known: dict[int, Tensor] = {}

    def predict(latents: Tensor, t: int) -> Tensor:
        if latents is not start:
            return denoiser(latents, t)
        if t not in known:
            known[t] = denoiser(latents, t)
        return known[t]

    return predict
