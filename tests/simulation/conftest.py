from tests.capture.conftest import RATE, Write, music, write

__all__ = ["RATE", "Write", "music", "write"]
