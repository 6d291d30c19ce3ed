"""The formats that manifests are built from, one a file. A new one: write its file, add its line."""

from __future__ import annotations

from fouls.manifests.builders import csv_file, kinetics, list_file, ma52, mouse, mvfoul, osl, videos, vjepa
from fouls.manifests.builders.listing import Builder

BUILDERS: dict[str, Builder] = {
    "videos": videos.BUILDER,
    "csv": csv_file.BUILDER,
    "list": list_file.BUILDER,
    "vjepa": vjepa.BUILDER,
    "kinetics": kinetics.BUILDER,
    "ma52": ma52.BUILDER,
    "mvfoul": mvfoul.BUILDER,
    "osl": osl.BUILDER,
    "mouse": mouse.BUILDER,
}
"""``--format`` → builder."""
