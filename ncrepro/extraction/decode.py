"""A file of an image -> red, green, blue of 8 bits, the right way up; or one sentence that says why not.

Only the raster formats of `FORMATS` are opened, whatever a file is called: Pillow would start Ghostscript for an EPS.
"""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

Image.init()
_FORMAT_NAMES = "AVIF BMP DIB GIF ICO JPEG JPEG2000 PCX PNG PPM QOI SGI TGA TIFF WEBP"
FORMATS = tuple(name for name in _FORMAT_NAMES.split() if name in Image.OPEN)  # some came with later versions of Pillow
# MPO is a file of several JPEG images, of which Pillow takes the first.
SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))
LARGEST = ("largest",)  # a key of Image.info that no file sets, as those are strings
LONGEST = 100  # times the shorter side: a network that resizes that to 256 pixels makes it 25,600 long


def read(source: Path, fast: bool = False) -> Image.Image:
    """The image in a file.

    Parameters
    ----------
    source : Path
    fast : bool
        Decode a JPEG at an eighth of its size, which still reads all of it: only to see whether it can be read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no plain file, cannot be decoded, or is no image that a network could look at.
    """
    if not source.is_file():  # nothing that waits for a writer, or never ends, is opened
        source.stat()
        raise ValueError("it is not a plain file")
    try:
        with Image.open(source, formats=FORMATS) as opened:
            check_size(*opened.size)
            if fast:
                opened.draft("RGB", (1, 1))
            return rgb(opened)
    except UnidentifiedImageError:
        raise ValueError(f"its content is none of {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(
            f"it claims more than {Image.MAX_IMAGE_PIXELS:,} pixels, as files do that are made to fill the memory: "
            "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except Exception as error:  # a damaged file makes Pillow raise errors of any type
        raise ValueError(str(error).split("<_io")[0].strip() or type(error).__name__) from None


def rgb(image: Image.Image) -> Image.Image:
    """An image as its viewer shows it: turned as its EXIF data say, 8 bits for each of red, green and blue.

    65,535 is white of 16 bits, and 1.0 of floating-point numbers. Transparency is dropped, as torchvision's loader
    does. ``info[LARGEST]`` is the largest number of an image with integers of more than 8 bits; of 16 bits in colour,
    whose upper 8 are all that Pillow gives, the largest that it may be.

    Raises
    ------
    ValueError
        If the numbers of an image with more than 8 bits lie outside these ranges, or are those of one with 8 bits.
    """
    halved = image.mode in ("LA", "RGB", "RGBA", "RGBX") and _is_of_16_bits(image)
    if _is_turned(image):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # integers of 16 or 32 bits, which Pillow would clip at 255
        values = _within(image, 65535)
        if 0 < values.max() < 256:  # all of it black
            raise ValueError(
                f"its numbers ({values.dtype}) run from {values.min()} to {values.max()}, which is black where 65535 "
                "is white: save it with 8 bits per colour"
            )
        image = Image.fromarray((values // 257).astype(np.uint8))
        image.info[LARGEST] = int(values.max())
    elif image.mode == "F":
        image = Image.fromarray((_within(image, 1) * 255).round().astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if halved:
        image.info[LARGEST] = 256 * max(high for _, high in image.getextrema()) + 255
    return image


def check_size(width: int, height: int) -> None:
    """Refuse what no network looks at, and what would fill the memory once its shorter side is resized."""
    if not 1 <= max(width, height) <= LONGEST * min(width, height):
        raise ValueError(
            f"it has {width} x {height} pixels; the longer side may be {LONGEST} times the shorter one at most"
        )


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # damaged EXIF data say nothing against the pixels
        return False


def _is_of_16_bits(image: Image.Image) -> bool:
    """Whether the file, which must not be loaded yet, holds 16 bits of each colour."""
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    return any(";16" in str(raw[0] if isinstance(raw, tuple) else raw) for raw in arguments)


def _within(image: Image.Image, high: float) -> np.ndarray:
    values = np.asarray(image)
    if not (0 <= values.min() and values.max() <= high):  # nor NaN
        raise ValueError(
            f"its numbers ({values.dtype}) run from {values.min():g} to {values.max():g}; allowed is 0 to {high}: "
            "save it with 8 bits per colour"
        )
    return values
