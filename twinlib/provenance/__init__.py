"""What came from what: code digests (`code`), stage records (`record`) and all those of a folder (`results`), the
versions of a recording (`history`), and mtimes that follow contents (`settle`).
"""
