"""Adapters: a plain ViT becomes a feature pyramid. PyTorch and timm only."""
