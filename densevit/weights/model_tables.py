"""What follows from ``zoo.yml``: configs/metafile.yml and the tables in docs/configs.md.

``python -m densevit.weights.model_tables`` writes them in a checkout, and ``--check`` fails if they are out of date.
Numbers come from the first lines of the configs. In the docs, a table of the configs in some folders stands between
``<!-- models: FOLDER ... -->`` and ``<!-- end of models -->``.
"""
from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..registry import config_file
from . import zoo

ROOT = Path(__file__).parents[2]
METAFILE, DOCS = ROOT / 'configs/metafile.yml', ROOT / 'docs/configs.md'
_METAFILE_START = """\
# Written by densevit.weights.model_tables from densevit/weights/zoo.yml. `densevit.load(name)` finds the weights: those
# in the package, and the authors' under "Converted From". mmengine's inferencers would load neither, so that no file
# is named under Weights.
"""
_TABLE = re.compile(r'(<!-- models: (.+?) -->\n).*?(<!-- end of models -->)', re.DOTALL)
_NUMBER = re.compile(r'(\d+\.\d+) ((?:[a-z]+ )?[A-Za-z]*[A-Z]\w*)')
Row = Mapping[str, Any]


def contents() -> dict[Path, str]:
    """What the files should hold."""
    page = DOCS.read_text(encoding='utf-8')
    table = _TABLE.sub(lambda match: match[1] + _table(match[2].split()) + match[3], page)
    return {METAFILE: _METAFILE_START + yaml.safe_dump(_metafile(), sort_keys=False, width=10000), DOCS: table}


def _metafile() -> dict[str, Any]:
    """The index of mmengine, which names a config and not its weights."""
    collections, models = [], []
    for name, collection in zoo.collections().items():
        data = list(dict.fromkeys(row['data'] for row in collection['models']))
        collections.append({
            'Name': name, 'License': 'Apache-2.0', 'Metadata': {'Training Data': data},
            'Paper': {'Title': collection['paper'], 'URL': collection['url']}, 'README': 'docs/configs.md',
            'Frameworks': ['PyTorch']})
        for row in collection['models']:
            model = {'Name': _name(row), 'In Collection': name, 'Config': f'configs/{row["config"]}', 'Weights': None,
                     'Metadata': {'Training Data': row['data']}}
            if 'batch' in row:
                model['Metadata']['Batch Size'] = row['batch']
            if row.get('weights', 'bundled') != 'bundled':
                item = zoo.entry(_name(row))
                weights = item.file if item.repo_id is None else f'https://huggingface.co/{item.repo_id}'
                model['Converted From'] = {'Weights': weights, 'Code': collection['code']}
            models.append(model)
    return {'Collections': collections, 'Models': models}


def _table(folders: Sequence[str]) -> str:
    rows = [row for folder in folders for collection in zoo.collections().values() for row in collection['models']
            if row['config'].startswith(f'{folder}/')]
    if not rows:
        raise SystemExit(f'docs/configs.md: no config is in {", ".join(folders)}')
    source = 'reached here' if _is_trained_here(rows[0]['config']) else 'published'
    lines = [f'| configs | data | {source} | weights |', '|---|---|---|---|']
    for group in _families(rows):
        folder, _, _ = group[0]['config'].partition('/')
        words, name = _braces([_name(row) for row in group])
        licensed = [word for row, word in zip(group, words, strict=True) if 'license' in row]
        terms = ', '.join(dict.fromkeys(row['license'] for row in group if 'license' in row))
        if 0 < len(licensed) < len(group):
            terms += f' ({", ".join(licensed)})'
        cells = (f'`{folder}/{name}.py`', f'{group[0]["data"]}, {group[0]["task"]}', _results(group), terms)
        lines.append(f'| {" | ".join(cells)} |'.replace('  ', ' '))
    return '\n'.join(lines) + '\n'


def _families(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows whose names differ in one word, the same one, but not in the first, which names the method."""
    families: list[tuple[list[Row], list[str], int | None]] = []
    for row in rows:
        words = _name(row).split('_')
        for index, (family, first, place) in enumerate(families):
            differ = [i for i, (word, other) in enumerate(zip(words, first, strict=False)) if word != other]
            same = _kind(row) == _kind(family[0])
            if same and len(words) == len(first) and len(differ) == 1 and differ[0] == (place or differ[0]) > 0:
                family.append(row)
                families[index] = family, first, differ[0]
                break
        else:
            families.append(([row], words, None))
    return (family for family, _, _ in families)


def _kind(row: Row) -> tuple[str, str, str]:
    return Path(row['config']).parent.name, row['data'], row['task']


def _braces(names: Sequence[str]) -> tuple[list[str], str]:
    """The word in which names differ, and ``eomt_vit{s,b}_ade20k`` for all of them."""
    if len(names) == 1:
        return [names[0]], names[0]
    parts = list(zip(*(name.split('_') for name in names), strict=True))
    index = next(i for i, words in enumerate(parts) if len(set(words)) > 1)
    start = os.path.commonprefix(parts[index])
    joined = [words[0] for words in parts]
    joined[index] = f'{start}{{{",".join(word.removeprefix(start) for word in parts[index])}}}'
    return list(parts[index]), '_'.join(joined)


def _results(rows: Sequence[Row]) -> str:
    """``44.7, 50.6 PQ``; a dash where there is no number, and notes behind what they belong to."""
    found = [reported_numbers(row['config']) for row in rows]
    if not any(found):
        return '-'
    notes = [row.get('note') for row in rows]
    common = notes[0] if len(set(notes)) == 1 else None
    cells = [(' / '.join(value for value, _ in numbers) or '-') + (f' ({note})' if note and not common else '')
             for numbers, note in zip(found, notes, strict=True)]
    units = ' / '.join(unit for _, unit in next(filter(None, found)))
    return f'{", ".join(cells)} {units}' + (f', {common}' if common else '')


def reported_numbers(config: str) -> list[tuple[str, str]]:
    """What the header of a config says was published, or reached here: numbers and their units."""
    text = config_file(f'densevit::{config}').read_text(encoding='utf-8')
    header = ' '.join(line.removeprefix('#').strip() for line in text.partition('_base_')[0].splitlines())
    pattern = r'Trained here[^:]*: (.+)' if _is_trained_here(config) else r'published: (.+)'
    found, result = re.search(pattern, re.sub(r'\(.*?\) ?', '', header)), []
    for part in found[1].split(', ') if found else ():
        if (number := _NUMBER.match(part)) is None:
            break
        result.append((number[1], number[2]))
    return result


def _is_trained_here(config: str) -> bool:
    return config.startswith(('tiny/', 'overfit/'))


def _name(row: Row) -> str:
    return Path(row['config']).stem


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Write configs/metafile.yml and the tables in docs/configs.md.')
    parser.add_argument('--check', action='store_true', help='write nothing, and fail if anything would change')
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in contents().items()
             if not path.is_file() or path.read_text(encoding='utf-8') != text}
    for path, text in stale.items():
        print(f'{path.relative_to(ROOT)}: ' + ('out of date; run python -m densevit.weights.model_tables' if check
                                               else 'written'))
        if not check:
            path.write_text(text, encoding='utf-8')
    return int(check and bool(stale))


if __name__ == '__main__':
    sys.exit(main())
