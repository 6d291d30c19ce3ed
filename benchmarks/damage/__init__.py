"""Damaged and odd videos in bulk, and the judgement of what an extraction makes of them."""
