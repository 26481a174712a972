"""COCO's annotation files (cocodataset.org, "Data format"); the classes are the categories of the file."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.fileio import load

from .coco_masks import MaskError
from .other_images import offer_images

_MAX_SIDE = 1 << 16  # of an image: the runs of an RLE are counted in 32 bits
_LISTS = ('images', 'annotations', 'categories')


class AnnotationError(ValueError):
    """An annotation file, or a picture of segments beside it, contradicts itself."""


class EmptyDatasetError(ValueError):
    """A data set has no sample, or nothing to learn from."""


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Give every error that an entry of an annotation file can cause its place.

    Raises:
        AnnotationError: In the place of Python's own errors, and of :class:`MaskError`.
    """
    try:
        yield
    except MaskError as error:
        raise AnnotationError(f'{where} {error}: correct the annotation, or remove it') from error
    except AnnotationError:
        raise
    except KeyError as error:
        raise AnnotationError(f'{where} has no {error.args[0]}: add it') from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise AnnotationError(f"{where} is not of COCO's form ({error}): correct it, or remove it") from error


class CocoJsonDataset(BaseDataset):
    """Images of a COCO JSON file. Label i is the i-th category of the file, whatever its id.

    A file without ``annotations``, such as COCO's ``image_info_test-dev2017.json``, is read with ``test_mode=True``.

    Args:
        ann_file: The path of the JSON file.
        metainfo: ``dict(classes=(...))`` takes only these categories, in this order.
        data_prefix: Folders by what they hold; ``img`` is that of the images.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images from which nothing can be learned; they stay with
            ``test_mode=True``.
        kwargs: See :class:`mmengine.dataset.BaseDataset`.

    Attributes:
        remarks: What was left out or mended while the file was read, and how often.

    Raises:
        AnnotationError: The file is not of COCO's form, or names images or categories that it does not describe; two
            images have one id.
        EmptyDatasetError: The file has no image, or ``filter_cfg`` leaves none.
    """

    def __init__(
        self,
        ann_file: str = '',
        metainfo: Mapping[str, Any] | None = None,
        data_prefix: dict[str, str] | None = None,
        filter_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if unknown := set(filter_cfg or {}) - {'filter_empty_gt'}:
            raise ValueError(f'filter_cfg has no {min(unknown)!r}: {type(self).__name__} takes filter_empty_gt')
        self._chosen = (metainfo or {}).get('classes')
        if isinstance(self._chosen, str):
            raise ValueError(f"metainfo.classes is the text '{self._chosen}', and not a list of names: write "
                             f"classes=['{self._chosen}']")
        self.remarks: Counter[str] = Counter()
        super().__init__(
            ann_file, metainfo, data_prefix=dict(img='') if data_prefix is None else data_prefix,
            filter_cfg=filter_cfg, **kwargs)
        offer_images(self)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the file, and give one entry for each image."""
        self.remarks.clear()
        data = read_coco(self.ann_file, self.test_mode)
        self.annotated = 'annotations' in data
        self.labels = self._take_categories(data['categories'])
        images = self._images_by_id(data['images'])
        by_image = defaultdict(list)
        for index, annotation in enumerate(data.get('annotations', ())):
            with reading(f'annotation number {index} in {self.ann_file}'):
                image_id = annotation['image_id']
                if image_id not in images:
                    raise AnnotationError(f'{self.ann_file} has an annotation of image {image_id}, which is not in its '
                                          'list of images: add it there, or remove the annotation')
            by_image[image_id].append(annotation)
        entries = []
        for image in images.values():
            with reading(f'image {image["id"]} ({image.get("file_name")}) in {self.ann_file}'):
                entries.append(self._entry(image, by_image[image['id']]))
        return entries

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out the entries from which nothing can be learned, if ``filter_cfg`` asks for that."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt'):
            return self.data_list
        kept = [entry for entry in self.data_list if self._teaches(entry)]
        if not kept:
            dropped = ''.join(f'; {count} {remark}' for remark, count in self.remarks.items())
            raise EmptyDatasetError(
                f'filter_cfg.filter_empty_gt leaves none of the {len(self.data_list)} images of {self.ann_file}: no '
                f'annotation of {_listed(self._metainfo["classes"])} can be learned from{dropped}: add annotations, or '
                'choose other categories by metainfo.classes')
        if left_out := len(self.data_list) - len(kept):
            self.remarks['images with nothing to learn from left out (filter_empty_gt)'] = left_out
        return kept

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the labels of the annotations of an image, crowds included, for mmengine's ``ClassBalancedDataset``."""
        return self._labels(self.get_data_info(idx))

    def label_of(self, annotation: Mapping[str, Any], where: str) -> int | None:
        """The label of an annotation; None for a category that was not chosen.

        Raises:
            AnnotationError: The file does not describe the category.
        """
        category = annotation.get('category_id')
        if category not in self.labels:
            known = ', '.join(map(str, list(self.labels)[:8])) + (', ...' if len(self.labels) > 8 else '')
            raise AnnotationError(f'{where} in {self.ann_file} has category_id {category}, which its categories do not '
                                  f'have ({known}): correct it, or add the category')
        return self.labels[category]

    def _entry(self, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What a pipeline gets of one image."""
        raise NotImplementedError

    def _teaches(self, entry: Mapping[str, Any]) -> bool:
        """Whether a model can learn from this image."""
        raise NotImplementedError

    def _labels(self, entry: Mapping[str, Any]) -> list[int]:
        """Labels of all annotations of an image that are of a chosen category."""
        raise NotImplementedError

    def _images_by_id(self, images: Sequence[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
        if not images:
            raise EmptyDatasetError(f'{self.ann_file} has no image in its list of images: choose another file, or add '
                                    'images to it')
        found: dict[Any, Mapping[str, Any]] = {}
        for index, image in enumerate(images):
            with reading(f'image number {index} in {self.ann_file}'):
                other = found.setdefault(image['id'], image)
                if other is not image:
                    raise AnnotationError(
                        f'{self.ann_file} has two images of id {image["id"]} ({other.get("file_name")} and '
                        f'{image.get("file_name")}): give each its own, and their annotations with it')
        return found

    def _image_entry(self, image: Mapping[str, Any]) -> dict[str, Any]:
        for key in ('height', 'width'):
            if isinstance(image[key], bool) or image[key] != int(image[key]) or not 1 <= image[key] < _MAX_SIDE:
                raise AnnotationError(f'image {image["id"]} ({image.get("file_name")}) in {self.ann_file} has a {key} '
                                      f'of {image[key]!r}: write the number of its pixels')
        if not isinstance(image['file_name'], str) or not image['file_name']:
            raise AnnotationError(f'image {image["id"]} in {self.ann_file} has {image["file_name"]!r} for a file_name: '
                                  'write the name of its file')
        folder = self.data_prefix.get('img') or ''
        path = f'{folder.rstrip("/")}/{image["file_name"]}' if folder else image['file_name']
        return dict(img_id=image['id'], img_path=path, height=int(image['height']), width=int(image['width']))

    def _take_categories(self, categories: Sequence[Mapping[str, Any]]) -> dict[int, int | None]:
        """Write the classes into ``metainfo``; the label of each category id, None for what was not chosen."""
        for index, category in enumerate(categories):
            with reading(f'category number {index} in {self.ann_file}'):
                hash(category['id'])
                if not isinstance(category['name'], str):
                    raise TypeError(f'the name is {category["name"]!r}')
        named = {category['name']: category for category in categories}
        if len(named) < len(categories) or len({category['id'] for category in categories}) < len(categories):
            raise AnnotationError(f'{self.ann_file} has two categories of one name or id: give each its own')
        chosen = list(named) if self._chosen is None else list(self._chosen)
        for name in chosen:
            if name not in named:
                near = get_close_matches(str(name), map(str, named), 1)
                raise AnnotationError(
                    f"metainfo.classes has '{name}', which is no category of {self.ann_file}"
                    f"{f': did you mean {near[0]!r}?' if near else f': it has {_listed(list(named))}'}")
        kept = [named[name] for name in chosen]
        if chosen != list(self._metainfo.get('classes') or ()):
            self._metainfo.pop('palette', None)  # of other classes
        self._metainfo['classes'] = tuple(chosen)
        self._metainfo['category_ids'] = tuple(category['id'] for category in kept)
        self._metainfo['isthing'] = tuple(bool(category.get('isthing', 1)) for category in kept)
        if palette := palette_of(kept):
            self._metainfo.setdefault('palette', palette)
        labels = {category['id']: label for label, category in enumerate(kept)}
        return {category['id']: labels.get(category['id']) for category in categories}


def read_coco(path: str, images_alone: bool) -> dict[str, list]:
    """Read the lists of a COCO file: ``images``, ``annotations``, ``categories``.

    Args:
        path: The path of the JSON file.
        images_alone: Whether it may be without annotations.

    Raises:
        AnnotationError: It is no JSON file, or lacks a list.
    """
    try:
        data = load(path)
    except (ValueError, TypeError, RecursionError) as error:
        raise AnnotationError(f'{path} is not a JSON file: {error}') from error
    missing = [key for key in _LISTS if not isinstance(data.get(key), list)] if isinstance(data, dict) else _LISTS
    if missing == ['annotations'] and 'annotations' not in data:
        if images_alone:
            missing = []
        else:
            raise AnnotationError(f"{path} has no list 'annotations': a file of images alone is for tests "
                                  '(test_mode=True), and nothing can be learned from it')
    if missing:
        raise AnnotationError(f"{path} has no list '{missing[0]}': COCO's files have {', '.join(_LISTS)}")
    if not data['categories']:
        raise AnnotationError(f'{path} has no category: without one there is no class to learn')
    return data


def palette_of(categories: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The colours of categories, red, green and blue each; nothing if one has none, or another notation of it."""
    colours = [category.get('color') for category in categories]
    if all(isinstance(colour, list | tuple) and len(colour) == 3 and all(isinstance(part, int) for part in colour)
           for colour in colours):
        return [list(colour) for colour in colours]
    return []


def _listed(names: Sequence[Any], limit: int = 8) -> str:
    return ', '.join(map(str, names[:limit])) + (', ...' if len(names) > limit else '')


def stuff_labels(metainfo: Mapping[str, Any]) -> list[int]:
    """List the labels of the classes that are not counted, from the ``metainfo`` of a dataset."""
    return np.flatnonzero(~np.asarray(metainfo['isthing'], bool)).tolist()


def first_repeated(values: Sequence[int]) -> Iterator[int]:
    """Give each value that occurred before."""
    seen: set[int] = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)
