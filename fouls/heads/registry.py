"""The heads by name. A new one is a file with its config, and a line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fouls.errors import ConfigError
from fouls.heads.attentive import AttentiveConfig
from fouls.heads.grid_heads import I3dConfig, TimesformerConfig, TsnConfig
from fouls.heads.head import HeadConfig
from fouls.heads.linear import LinearConfig
from fouls.heads.live_replay import LiveReplayConfig
from fouls.heads.mlp import MlpConfig
from fouls.heads.ms_tcn import MsTcnConfig
from fouls.heads.mvfouls import MvfoulsConfig
from fouls.heads.options import build
from fouls.heads.tcn import TcnConfig
from fouls.heads.vars import VarsConfig

HEADS: dict[str, type[HeadConfig]] = {
    "linear": LinearConfig,
    "mlp": MlpConfig,
    "tcn": TcnConfig,
    "ms_tcn": MsTcnConfig,
    "attentive": AttentiveConfig,
    "tsn": TsnConfig,
    "i3d": I3dConfig,
    "timesformer": TimesformerConfig,
    "mvfouls": MvfoulsConfig,
    "vars": VarsConfig,
    "live_replay": LiveReplayConfig,
}
"""Name → the config that builds it."""


def make_head_config(name: str, options: Mapping[str, Any]) -> HeadConfig:
    """The config of a head, from its name and the options that were given.

    Args:
        name: a key of :data:`HEADS`.
        options: field → value, of its type or as YAML has it; ``None`` stands for the default of the head.

    Raises:
        ConfigError: no such head, an option that it does not have, or a value that is not allowed.
    """
    if name not in HEADS:
        raise ConfigError(f"head {name!r} does not exist; there are {', '.join(HEADS)}")
    given = {option: value for option, value in options.items() if value is not None}
    known = {field.name for field in dataclasses.fields(HEADS[name])}
    for option, value in given.items():
        if option not in known:
            others = [other for other in HEADS if option in {field.name for field in dataclasses.fields(HEADS[other])}]
            readers = f"; {', '.join(others)} can" if others else ""
            raise ConfigError(
                f"head {name!r} can't use {option} = {value!r}{readers}; it has {', '.join(sorted(known))}"
            )
    return build(HEADS[name], given, f"head {name}")


def head_name(config: HeadConfig) -> str:
    """The name under which a config stands in :data:`HEADS`."""
    return next(name for name, kind in HEADS.items() if kind is type(config))
