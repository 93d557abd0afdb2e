"""Answers for auditors, from the files of `results` alone."""
