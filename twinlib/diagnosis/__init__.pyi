from .pipeline import diagnose as diagnose
