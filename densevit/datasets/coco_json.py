"""COCO's annotation files (cocodataset.org, "Data format"); the classes are the categories of the file."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.fileio import load

_LISTS = ('images', 'annotations', 'categories')


class AnnotationError(ValueError):
    """An annotation file, or a picture of segments beside it, contradicts itself."""


class CocoJsonDataset(BaseDataset):
    """Images of a COCO JSON file. Label i is the i-th category of the file, whatever its id.

    Args:
        ann_file: The JSON file.
        metainfo: ``dict(classes=(...))`` takes only these categories, in this order.
        data_prefix: Folders; ``img`` is that of the images.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images from which nothing can be learned; they stay with
            ``test_mode=True``.
        kwargs: See :class:`mmengine.dataset.BaseDataset`.

    Raises:
        AnnotationError: The file is not of COCO's form, or names images or categories that it does not describe.
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
        super().__init__(
            ann_file, metainfo, data_prefix=dict(img='') if data_prefix is None else data_prefix,
            filter_cfg=filter_cfg, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each image."""
        data = _read(self.ann_file)
        self.labels = self._take_categories(data['categories'])
        images = {image['id']: image for image in data['images']}
        by_image = defaultdict(list)
        for annotation in data['annotations']:
            if annotation.get('image_id') not in images:
                raise AnnotationError(f'{self.ann_file} has an annotation of image {annotation.get("image_id")}, which '
                                      'is not in its list of images: add it there, or remove the annotation')
            by_image[annotation['image_id']].append(annotation)
        return [self._entry(image, by_image[image['id']]) for image in images.values()]

    def filter_data(self) -> list[dict[str, Any]]:
        """Entries without those from which nothing can be learned, if ``filter_cfg`` asks for that."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt'):
            return self.data_list
        return [entry for entry in self.data_list if self._teaches(entry)]

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

    def _image_entry(self, image: Mapping[str, Any]) -> dict[str, Any]:
        if missing := [key for key in ('file_name', 'height', 'width') if key not in image]:
            raise AnnotationError(f'image {image["id"]} in {self.ann_file} has no {missing[0]}: add it')
        folder = self.data_prefix.get('img') or ''
        path = f'{folder.rstrip("/")}/{image["file_name"]}' if folder else image['file_name']
        return dict(img_id=image['id'], img_path=path, height=image['height'], width=image['width'])

    def _take_categories(self, categories: Sequence[Mapping[str, Any]]) -> dict[int, int | None]:
        """Write the classes into ``metainfo``; the label of each category id, None for what was not chosen."""
        named = {category['name']: category for category in categories}
        if len(named) < len(categories) or len({category['id'] for category in categories}) < len(categories):
            raise AnnotationError(f'{self.ann_file} has two categories of one name or id: give each its own')
        chosen = list(named) if self._chosen is None else list(self._chosen)
        for name in chosen:
            if name not in named:
                near = get_close_matches(name, named, 1)
                raise AnnotationError(f"metainfo.classes has '{name}', which is no category of {self.ann_file}"
                                      f"{f': did you mean {near[0]!r}?' if near else ''}")
        kept = [named[name] for name in chosen]
        if chosen != list(self._metainfo.get('classes') or ()):
            self._metainfo.pop('palette', None)  # of other classes
        self._metainfo['classes'] = tuple(chosen)
        self._metainfo['category_ids'] = tuple(category['id'] for category in kept)
        self._metainfo['isthing'] = tuple(bool(category.get('isthing', 1)) for category in kept)
        if all('color' in category for category in kept):
            self._metainfo.setdefault('palette', [list(category['color']) for category in kept])
        labels = {category['id']: label for label, category in enumerate(kept)}
        return {category['id']: labels.get(category['id']) for category in categories}


def _read(path: str) -> dict[str, list]:
    try:
        data = load(path)
    except (ValueError, TypeError) as error:
        raise AnnotationError(f'{path} is not a JSON file: {error}') from error
    missing = [key for key in _LISTS if not isinstance(data.get(key), list)] if isinstance(data, dict) else _LISTS
    if missing:
        raise AnnotationError(f"{path} has no list '{missing[0]}': COCO's files have {', '.join(_LISTS)}")
    if not data['categories']:
        raise AnnotationError(f'{path} has no category: without one there is no class to learn')
    return data


def stuff_labels(metainfo: Mapping[str, Any]) -> list[int]:
    """Labels of the classes that are not counted, from a dataset's ``metainfo``."""
    return np.flatnonzero(~np.asarray(metainfo['isthing'], bool)).tolist()


def first_repeated(values: Sequence[int]) -> Iterator[int]:
    """Values that occurred before."""
    seen: set[int] = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)
