from __future__ import annotations

import json

import pytest

from fouls.pipeline.backbones.movinet.configs import CONFIGS, HIDDEN_WIDTH, Block, Stage


def test_sizes_are_those_of_the_facts():
    assert [(config.num_frames, config.size) for config in CONFIGS.values()] == [
        (50, 172),
        (50, 172),
        (50, 224),
        (120, 256),
        (80, 290),
        (120, 320),
    ]
    assert [config.head_width for config in CONFIGS.values()] == [480, 600, 640, 744, 856, 992]
    assert [config.stem_width for config in CONFIGS.values()] == [8, 16, 16, 16, 24, 24]
    assert HIDDEN_WIDTH == 2048


def test_blocks_follow_from_the_stages():
    blocks = list(CONFIGS["a0"].blocks())
    assert [block.name for block in blocks[:5]] == ["b0_l0", "b1_l0", "b1_l1", "b1_l2", "b2_l0"]
    assert blocks[4] == Block(name="b2_l0", in_width=32, expanded_width=184, out_width=56, kernel=(5, 3, 3), stride=2)
    strided = [block.name for block in blocks if block.stride == 2]
    assert strided == ["b0_l0", "b1_l0", "b2_l0", "b4_l0"]


def test_a_stage_has_a_kernel_for_each_block():
    with pytest.raises(ValueError, match="2 kernels for 1 blocks"):
        Stage(width=8, kernels="333 333", expanded=(16,))


def test_equal_to_the_tables_of_the_reference(shared):
    tables = json.loads((shared / "reference" / "movinet_configs.json").read_text())
    assert set(tables) == {size.upper() for size in CONFIGS}
    for size, config in CONFIGS.items():
        table = tables[size.upper()]
        ours = [(b.in_width, b.expanded_width, b.out_width, [*b.kernel], b.stride) for b in config.blocks()]
        assert ours == [
            (row["inp"], row["exp"], row["out"], row["k"], row["s"][1]) for stage in table["blocks"] for row in stage
        ]
        assert (config.stem_width, config.head_width) == (table["stem"]["out"], table["head_conv"])
        assert (config.num_frames, config.size) == (table["frames"], table["size"])
        assert table["dense"] == HIDDEN_WIDTH
