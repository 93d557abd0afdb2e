from .command import add_audit as add_audit
