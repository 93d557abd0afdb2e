"""Simulated devices with known truth, for the demo and the tests."""
