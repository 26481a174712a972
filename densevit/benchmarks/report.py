"""Measurements of models as a table and a chart."""
from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from ..files import write_atomic
from .models import ModelReport

COLUMNS = ('model', 'measured', 'params M', 'trunk M', 'GMACs', 'latency ms', 'min', 'trunk ms', 'of peak', 'img/s',
           'peak MB', 'ratio')
_BARS = dict(trunk='#4c72b0', rest='#dd8452')


def rows(reports: Sequence[ModelReport], peak: float) -> list[tuple[str, ...]]:
    """A line of text for each model, in the order of ``COLUMNS``.

    Args:
        reports: The first is what the ratio of latencies refers to.
        peak: Multiplications per second of the fastest matrix product.
    """
    base = reports[0].latency.median
    return [(
        report.name,
        report.measured,
        f'{report.parameters / 1e6:.1f}',
        f'{report.trunk_parameters / 1e6:.1f}',
        f'{report.macs / 1e9:.1f}',
        f'{report.latency.median * 1e3:.1f}',
        f'{min(report.latency.seconds) * 1e3:.1f}',
        f'{report.trunk.median * 1e3:.1f}',
        f'{report.macs / report.latency.median / peak:.0%}',
        f'{report.throughput:.2f}',
        f'{report.latency.peak_bytes / 1e6:.0f}',
        f'{report.latency.median / base:.2f}',
    ) for report in reports]


def markdown(reports: Sequence[ModelReport], peak: float, caption: str) -> str:
    """The table for a page of text."""
    lines = [COLUMNS, ['---', '---', *['---:'] * (len(COLUMNS) - 2)], *rows(reports, peak)]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + f'\n\n{caption}\n'


def write_chart(reports: Sequence[ModelReport], caption: str, path: Path) -> None:
    """Bars of latency, the trunk's share apart, as a picture.

    Args:
        path: With a suffix that matplotlib knows, such as ``.png`` or ``.svg``.

    Raises:
        ValueError: It does not know the suffix.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + .42 * len(reports)), layout='constrained')
    axes = figure.subplots()
    names = [report.name for report in reports]
    trunk = [min(report.trunk.median, report.latency.median) * 1e3 for report in reports]
    rest = [report.latency.median * 1e3 - own for report, own in zip(reports, trunk, strict=True)]
    axes.barh(names, trunk, color=_BARS['trunk'], label='trunk alone')
    bars = axes.barh(names, rest, left=trunk, color=_BARS['rest'], label='all else')
    axes.bar_label(bars, [f'{report.latency.median * 1e3:.0f}' for report in reports], padding=3)
    axes.invert_yaxis()
    axes.margins(x=.12)
    axes.set_xlabel('milliseconds for one image (median)')
    figure.suptitle(fill(caption, 110), fontsize='small')
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.removeprefix('.') or 'png', dpi=120)
    write_atomic(content.getvalue(), path)
