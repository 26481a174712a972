"""Datasets and transforms of semantic, instance and panoptic segmentation."""
