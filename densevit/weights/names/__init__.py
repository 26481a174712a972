"""Names of official checkpoints, a file for each paper or code base, brought to those of the models here."""
