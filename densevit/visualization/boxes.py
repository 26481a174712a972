"""Detections drawn over their picture: frames, class and score, and the masks of those that have one."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
from PIL import Image, ImageDraw

from .legend import LegendEntry, add_legend, display_factor, display_font_size, load_font, short_name
from .overlay import segment_outlines
from .palette import Color, default_palette, text_color

_MIN_FONT_SIZE = 10  # smaller letters of Pillow's font cannot be read
_MAX_COVERED = 0.2  # of any box: a label that hides more hides the object
_MAX_LABELLED = 1 / 8  # of the picture: more labels hide what they are about


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
    classes: Sequence[str] = (),
    palette: Sequence[Color] | None = None,
    opacity: float = 0.4,
    legend: bool = False,
) -> np.ndarray:
    """Draw a frame around each object, in the colour of its class, and a label with class and score.

    A frame lies around its box and not on it, so that a small object stays visible; the width of its line and the size
    of the letters follow the picture and the box. A label stands above, below, inside or beside its box, where it
    overlaps no other label and covers at most a fifth of any box; where there is no such place it shrinks, loses its
    score and is at last left out. The best of each class and high scores come first, until labels take an eighth of the
    picture. Small boxes are drawn over large ones.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: (N, 4) x1, y1, x2, y2 in pixels; what lies outside the picture is cut off, a box that lies wholly outside
            it or is not finite is not drawn.
        labels: (N,) class ids.
        scores: (N,) in [0, 1]; without them the classes alone are written.
        masks: N masks (H, W) of bool, as one array or as a sequence that gives them one by one.
        classes: Names by class id; without them the ids are written.
        palette: RGB colours by class id; :func:`default_palette` without them.
        opacity: Opacity of the masks' tint, in [0, 1].
        legend: Whether a panel is added with the classes present and the number of their boxes, most first. A picture
            with a legend that is less than 256 pixels long is enlarged by a whole factor.

    Returns:
        (H, W, 3) uint8 without a legend, (H', W', 3) with it.

    Raises:
        ValueError: Shapes do not agree, a label has no name or no colour, or the opacity lies outside [0, 1].
    """
    boxes, labels = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(labels, np.int64)
    scores = None if scores is None else np.asarray(scores, np.float64)
    _check(image, boxes, labels, scores, masks, opacity)
    classes = tuple(classes) or tuple(map(str, range(labels.max(initial=-1) + 1)))
    palette = default_palette(len(classes)) if palette is None else palette
    if len(labels) and not 0 <= labels.min() <= labels.max() < min(len(classes), len(palette)):
        raise ValueError(f'labels are {labels.min()}..{labels.max()}, but there are {len(classes)} names and '
                         f'{len(palette)} colours: give classes and palette of the data that the model was trained on')

    factor = display_factor(*image.shape[:2]) if legend else 1
    picture = image.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else image.copy()
    shown, frames = _to_pixels(factor * boxes, *picture.shape[:2])
    colors = [tuple(int(value) for value in palette[label]) for label in labels]
    areas = (frames[:, 2:] - frames[:, :2]).prod(-1)
    large_first = [index for index in np.argsort(-areas, kind='stable') if shown[index]]
    if masks is not None:
        for index in large_first:
            _tint(picture, masks[index], factor, colors[index], opacity)
    for index in large_first:
        _draw_frame(picture, frames[index], colors[index])
    priority = areas if scores is None else np.nan_to_num(scores, nan=-1)
    important_first = [index for index in np.argsort(-priority, kind='stable') if shown[index]]
    best = {labels[index]: index for index in reversed(important_first)}.values()  # one of each class is named first
    important_first.sort(key=lambda index: index not in best)
    names = [short_name(classes[label]) for label in labels]
    # Two spaces: in small letters the font's one is as wide as the gap between two letters.
    texts = names if scores is None else [f'{name}  {score:.2f}' for name, score in zip(names, scores, strict=True)]
    for index, text, size, x, y in _place_labels(important_first, frames, texts, names, *picture.shape[:2]):
        _draw_label(picture, text, size, x, y, colors[index])
    if not legend:
        return picture
    entries = [LegendEntry(classes[label], palette[label], None, count)
               for label, count in Counter(labels[shown].tolist()).most_common()]
    return add_legend(picture, entries, display_font_size(*picture.shape[:2]))


def _check(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray | None,
           masks: Sequence[np.ndarray] | None, opacity: float) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f'the picture must be (H, W, 3) of uint8, got {image.shape} of {image.dtype}')
    lengths = {name: len(values) for name, values in dict(labels=labels, scores=scores, masks=masks).items()
               if values is not None}
    if set(lengths.values()) != {len(boxes)}:
        raise ValueError(f'{len(boxes)} boxes need as many of each of {lengths}')
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must lie in [0, 1], got {opacity}')


def _to_pixels(boxes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Tell which of (N, 4) boxes are seen, (N,) bool, and which pixels each holds, from x1, y1 to before x2, y2."""
    finite = np.isfinite(boxes).all(-1)
    boxes = np.where(finite[:, None], boxes, 0)
    size = np.array([width, height])
    start, end = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    shown = finite & (start < size).all(-1) & (end > 0).all(-1)
    start = np.clip(np.rint(start), 0, size - 1)
    end = np.clip(np.rint(end), start + 1, size)
    return shown, np.concatenate([start, end], axis=-1).astype(np.int64)


def _line_width(frame: np.ndarray, height: int, width: int) -> int:
    of_picture = max(1, round(sqrt(height * width) / 350))
    of_box = round(float((frame[2:] - frame[:2]).min()) / 10)
    return int(np.clip(of_box, max(1, of_picture // 3), of_picture))


def _draw_frame(picture: np.ndarray, frame: np.ndarray, color: Color) -> None:
    """Draw lines around the pixels of a box, with a thin edge that tells them from a ground of their own colour."""
    height, width = picture.shape[:2]
    line = _line_width(frame, height, width)
    edge = max(1, line // 3)
    outline = _grown(frame, line, height, width)
    contrast = np.array(text_color(color))
    for part in _ring(_grown(outline, edge, height, width), edge):
        picture[part] = picture[part] // 3 + (2 * contrast // 3).astype(np.uint8)
    for part in _ring(outline, line):
        picture[part] = color


def _grown(frame: np.ndarray, margin: int, height: int, width: int) -> np.ndarray:
    return np.clip(frame + [-margin, -margin, margin, margin], 0, [width, height, width, height])


def _ring(frame: np.ndarray, line: int) -> list[tuple[slice, slice]]:
    """Find the pixels of a frame that are at most ``line`` from its border, as slices that do not overlap."""
    x1, y1, x2, y2 = frame.tolist()
    top, bottom = min(y1 + line, y2), max(y2 - line, min(y1 + line, y2))
    left, right = min(x1 + line, x2), max(x2 - line, min(x1 + line, x2))
    return [(slice(y1, top), slice(x1, x2)), (slice(bottom, y2), slice(x1, x2)),
            (slice(top, bottom), slice(x1, left)), (slice(top, bottom), slice(right, x2))]


def _tint(picture: np.ndarray, mask: np.ndarray, factor: int, color: Color, opacity: float) -> None:
    """Blend a colour over a mask and draw its border; memory is for the part of the picture that the mask takes."""
    mask = np.asarray(mask, bool)
    height, width = picture.shape[:2]
    if mask.shape != (height // factor, width // factor):
        raise ValueError(f'a mask has shape {mask.shape}, but the picture {(height // factor, width // factor)}')
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    # With a pixel around it, so that its border is found.
    y1, y2 = max(rows[0] - 1, 0), rows[-1] + 2
    x1, x2 = max(columns[0] - 1, 0), columns[-1] + 2
    mask = mask[y1:y2, x1:x2].repeat(factor, axis=0).repeat(factor, axis=1)
    part = picture[factor * y1:factor * y2, factor * x1:factor * x2]
    outlines = segment_outlines(mask, thickness=max(1, round(sqrt(height * width) / 700)))
    values = np.arange(256)
    for channel in range(3):
        # Half-bright at the border, as in an overlay: seen on light and dark ground.
        for pixels, shade, weight in ((mask & ~outlines, color[channel], opacity),
                                      (outlines, color[channel] // 2, 0.85 if opacity > 0 else 0)):
            blended = np.rint(values * (1 - weight) + shade * weight).astype(np.uint8)
            part[..., channel][pixels] = blended[part[..., channel][pixels]]


def _place_labels(order: list[int], frames: np.ndarray, texts: list[str], names: list[str], height: int,
                  width: int) -> Iterator[tuple[int, str, int, int, int]]:
    """Give index, text, size of the letters, x and y of each label that finds a place."""
    of_picture = int(np.clip(sqrt(height * width) / 40, _MIN_FONT_SIZE, 96))
    smallest = max(_MIN_FONT_SIZE, round(0.7 * of_picture))
    taken = np.zeros((0, 4), np.int64)
    for index in order:
        if (taken[:, 2:] - taken[:, :2]).prod(-1).sum() > _MAX_LABELLED * height * width:
            return
        frame = frames[index]
        side = sqrt(float((frame[2:] - frame[:2]).prod()))
        largest = int(np.clip(side / 5, smallest, of_picture))
        around = _grown(frame, _line_width(frame, height, width), height, width)
        for text, size in ((texts[index], largest), (texts[index], smallest), (names[index], smallest)):
            places = _places(frame, around, *_label_size(text, size), height, width)
            covered = _overlaps(places, frames[order]) / (frames[order, 2:] - frames[order, :2]).prod(-1)
            free = (covered.max(-1, initial=0) <= _MAX_COVERED) & ~(_overlaps(places, taken) > 0).any(-1)
            if free.any():
                place = places[free.argmax()]
                taken = np.concatenate([taken, place[None]])
                yield index, text, size, int(place[0]), int(place[1])
                break


def _places(frame: np.ndarray, around: np.ndarray, label_width: int, label_height: int, height: int,
            width: int) -> np.ndarray:
    """List where a label may stand, best first: (P, 4) x1, y1, x2, y2; nowhere if it is larger than the picture."""
    if label_width > width or label_height > height:
        return np.zeros((0, 4), np.int64)
    (x1, y1, x2, y2), (left, top, right, bottom) = frame.tolist(), around.tolist()
    corners = np.array([
        (left, top - label_height), (left, bottom), (right - label_width, top - label_height),
        (right - label_width, bottom), (x1, y1), (x1, y2 - label_height), (x2 - label_width, y1),
        (x2 - label_width, y2 - label_height), (right, top), (left - label_width, top),
    ])
    corners = np.clip(corners, 0, [width - label_width, height - label_height])
    return np.concatenate([corners, corners + [label_width, label_height]], axis=-1)


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Count the pixels that each of (M, 4) rectangles shares with each of (K, 4): (M, K)."""
    start = np.maximum(some[:, None, :2], others[None, :, :2])
    end = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.clip(end - start, 0, None).prod(-1)


def _label_size(text: str, size: int) -> tuple[int, int]:
    return round(load_font(size).getlength(text) + 0.5 * size), round(1.3 * size)


def _draw_label(picture: np.ndarray, text: str, size: int, x: int, y: int, color: Color) -> None:
    width, height = _label_size(text, size)
    panel = Image.new('RGB', (width, height), color)
    draw = ImageDraw.Draw(panel)
    draw.text((size // 4, height // 2), text, fill=text_color(color), font=load_font(size), anchor='lm')
    picture[y:y + height, x:x + width] = np.asarray(panel)
