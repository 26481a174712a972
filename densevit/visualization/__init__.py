"""Colours, overlays and legends; needs NumPy and Pillow only."""
from .overlay import draw_comparison, draw_overlay
from .palette import default_palette, text_color

__all__ = ['default_palette', 'draw_comparison', 'draw_overlay', 'text_color']
