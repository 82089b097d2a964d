"""Evaluation of a segmenting student over every subset of the sequences of a case."""
