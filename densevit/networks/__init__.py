"""Task networks, one folder per task and one file per paper. PyTorch and timm only."""
