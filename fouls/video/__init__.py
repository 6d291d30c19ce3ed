"""Videos: what they are, frames by their number, and decoding that may hang or die without harm."""
