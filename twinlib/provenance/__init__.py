"""What came from what: code digests (`code`), stage records (`record`), and mtimes that follow contents (`settle`)."""
