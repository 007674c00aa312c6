"""Text in pictures. The font comes with Pillow, so that pictures look alike on every machine, headless too."""

from functools import lru_cache

from PIL import ImageFont


@lru_cache(maxsize=32)
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font at a size in pixels."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def text_width(text: str, size: float) -> float:
    """Pixels that a line of text takes."""
    return font(size).getlength(text)


def shortened(text: str, size: float, width: float) -> str:
    """The text, or as many of its first letters as fit into `width` pixels with three dots after them."""
    if text_width(text, size) <= width:
        return text
    kept = len(text)
    while kept and text_width(text[:kept].rstrip() + "...", size) > width:
        kept -= 1
    return text[:kept].rstrip() + "..." if kept else ""


def wrapped(text: str, size: float, width: float, lines: int) -> list[str]:
    """The text in at most so many lines of at most `width` pixels, broken at blanks; the last is shortened to fit."""
    words, result = text.split(), list[str]()
    while words and len(result) < lines - 1:
        taken = 1
        while taken < len(words) and text_width(" ".join(words[: taken + 1]), size) <= width:
            taken += 1
        result.append(shortened(" ".join(words[:taken]), size, width))
        words = words[taken:]
    return [*result, shortened(" ".join(words), size, width)] if words else result
