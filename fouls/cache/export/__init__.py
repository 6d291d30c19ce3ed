"""Handing features on to other programs: one file a format."""
