"""Measurements: operators beside mmcv's, whole models, and a survey of timm's backbones."""
