"""Colours, overlays, boxes and legends; needs NumPy and Pillow only."""
from .boxes import draw_boxes
from .overlay import draw_comparison, draw_overlay
from .palette import default_palette, text_color

__all__ = ['default_palette', 'draw_boxes', 'draw_comparison', 'draw_overlay', 'text_color']
