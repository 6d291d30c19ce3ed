"""The formats that manifests are built from, one a file. A new one: write its file, add its line."""

from __future__ import annotations

from fouls.manifests.builders import csv_file, list_file, mvfoul, videos
from fouls.manifests.builders.listing import Builder

BUILDERS: dict[str, Builder] = {
    "videos": videos.BUILDER,
    "csv": csv_file.BUILDER,
    "mvfoul": mvfoul.BUILDER,
    "list": list_file.BUILDER,
}
"""``--format`` → builder."""
