"""The sentences of all findings of a diagnosis: what is wrong, where, the likely cause, and what to do."""

from twinlib.findings import Messages

MESSAGES = Messages({})
