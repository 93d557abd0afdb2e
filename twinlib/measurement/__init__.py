"""Measurements of a device or a twin from its probe reel: harmonics, intermodulation, dynamics and noise."""
