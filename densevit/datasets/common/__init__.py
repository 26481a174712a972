"""What datasets of all tasks share: seeds, the reading of files, checks before a run, and where data lies."""
