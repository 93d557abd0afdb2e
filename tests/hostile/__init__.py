"""Hostile and broken input at every door of the library, from seeds.

`python -m tests.hostile --count 10000` tries ten thousand inputs in processes of their own, and counts sentences,
tracebacks, crashes, hangs and excessive memory.
"""
