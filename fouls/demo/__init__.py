"""The main job, end to end, on small videos that the demo makes itself."""
