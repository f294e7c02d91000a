"""What a base's text encoder does not read of a text, said before the text is used."""

from tav.bases.parts import BaseParts
from tavcli.console import Talk


def warn_of_cut_text(parts: BaseParts, talk: Talk, texts: list[str]) -> None:
    """Warn of each text that is longer than the base reads, with what is cut."""
    from tav.bases.text import context_length, load_tokenizer, text_that_is_cut

    tokenizer = load_tokenizer(parts)
    for text in dict.fromkeys(texts):
        if cut := text_that_is_cut(tokenizer, context_length(parts, tokenizer), text):
            talk.warn(f"the text encoder reads only the start of “{text[:40]}...”; cut: “{cut}”")
