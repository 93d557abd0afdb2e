"""Listening tests of a twin: stimuli, spectrograms, and one page that needs no network."""
