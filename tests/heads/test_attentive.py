"""``attentive`` beside torch's own attention, and beside the probe of V-JEPA 2 as transformers has it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import VJEPA2Config
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from fouls.heads.attentive import AttentiveConfig
from fouls.heads.batch import Batch, InputForm
from fouls.heads.tasks import Task

ACTION = Task(name="action", classes=("a", "b", "c"))
BODY = Task(name="body", classes=("x", "y"))
DIM, HEADS = 12, 3


def build(**options: Any) -> Any:
    """A head whose weights are large enough that every part matters."""
    torch.manual_seed(0)
    form, tasks = InputForm(widths=(DIM,), num_steps=5), (ACTION, BODY)
    config = AttentiveConfig(**{"num_heads": HEADS, "standardise": False, **options})
    head = config.resolved(form, tasks).build(form, tasks).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.5)
    return head


def batch() -> Batch:
    """Of 2 views of 5 steps; one sample lacks a view, the other the end of both."""
    x = torch.randn(2, 2, 5, DIM, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 2, 5, dtype=torch.bool)
    mask[0, 1] = False
    mask[1, :, 3:] = False
    return Batch(x=x, mask=mask, view_kinds=torch.zeros(2, 2, dtype=torch.int64))


def torchs_attention(weight: Tensor, bias: Tensor, leave: nn.Linear | None) -> nn.MultiheadAttention:
    """torch's attention with given weights (3 D, D) of queries, keys and values."""
    attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(weight)
        attention.in_proj_bias.copy_(bias)
        attention.out_proj.weight.copy_(torch.eye(DIM) if leave is None else leave.weight)
        attention.out_proj.bias.copy_(torch.zeros(DIM) if leave is None else leave.bias)
    return attention.eval()


@torch.no_grad()
def test_blocks_are_torchs_attention_with_norms_and_mlps() -> None:
    head, given = build(depth=2), batch()
    x, gone = given.x.flatten(1, 2), ~given.mask.flatten(1)
    [block], look = head.blocks, head.look
    own = torchs_attention(block.queries_keys_values.weight, block.queries_keys_values.bias, block.leave)
    normed = block.norm(x)
    x = x + own(normed, normed, normed, key_padding_mask=gone, need_weights=False)[0]
    x = x + block.mlp.leave(nn.functional.gelu(block.mlp.enter(block.mlp_norm(x))))
    across = torchs_attention(
        torch.cat([look.queries.weight, look.keys_values.weight]),
        torch.cat([look.queries.bias, look.keys_values.bias]),
        None,
    )
    query, normed = head.query.expand(2, -1, -1), look.norm(x)
    query = query + across(query, normed, normed, key_padding_mask=gone, need_weights=False)[0]
    query = query + look.mlp.leave(nn.functional.gelu(look.mlp.enter(look.mlp_norm(query))))
    for task in ("action", "body"):
        torch.testing.assert_close(head(given).logits[task], head.outputs[f"task:{task}"](query[:, 0]))


@torch.no_grad()
def test_it_is_the_probe_of_v_jepa_2() -> None:
    config = VJEPA2Config(hidden_size=DIM, num_attention_heads=HEADS, num_pooler_layers=3, mlp_ratio=4)
    config._attn_implementation = "eager"
    theirs = VJEPA2AttentivePooler(config).eval()
    head = build(depth=4, mlp_ratio=4)
    theirs.query_tokens.copy_(head.query)
    for layer, block in zip(theirs.self_attention_layers, head.blocks, strict=True):
        _copy(layer.self_attn, ("q_proj", "k_proj", "v_proj"), block.queries_keys_values)
        _copy(layer.self_attn, ("out_proj",), block.leave)
        _copy_rest(layer, block)
    across = theirs.cross_attention_layer
    _copy(across.cross_attn, ("q_proj",), head.look.queries)
    _copy(across.cross_attn, ("k_proj", "v_proj"), head.look.keys_values)
    _copy_rest(across, head.look)
    given = batch()
    whole = given.with_steps(given.x, torch.ones_like(given.mask))
    expected = head.outputs["task:action"](theirs(given.x.flatten(1, 2)))
    torch.testing.assert_close(head(whole).logits["action"], expected, rtol=1e-4, atol=1e-4)
    alone = head.outputs["task:action"](theirs(given.x[:1, 0]))  # what is there of the first sample
    torch.testing.assert_close(head(given).logits["action"][:1], alone, rtol=1e-4, atol=1e-4)


def _copy(theirs: Any, names: tuple[str, ...], ours: nn.Linear) -> None:
    for name, weight, bias in zip(names, ours.weight.split(DIM), ours.bias.split(DIM), strict=True):
        getattr(theirs, name).weight.copy_(weight)
        getattr(theirs, name).bias.copy_(bias)


def _copy_rest(theirs: Any, ours: Any) -> None:
    pairs = ((theirs.layer_norm1, ours.norm), (theirs.layer_norm2, ours.mlp_norm))
    for there, here in (*pairs, (theirs.mlp.fc1, ours.mlp.enter), (theirs.mlp.fc2, ours.mlp.leave)):
        there.load_state_dict(here.state_dict())


def test_first_weights_shrink_where_they_lead_back() -> None:
    torch.manual_seed(0)
    form = InputForm(widths=(192,))
    head: Any = AttentiveConfig(depth=3).resolved(form, (ACTION,)).build(form, (ACTION,))
    spreads = {
        head.look.queries.weight: 0.02,
        head.look.mlp.leave.weight: 0.02 / 2**0.5,
        head.blocks[0].queries_keys_values.weight: 0.02,
        head.blocks[0].leave.weight: 0.02 / 4**0.5,
        head.blocks[1].mlp.leave.weight: 0.02 / 6**0.5,
    }
    for weight, spread in spreads.items():
        assert float(weight.detach().std()) == pytest.approx(spread, rel=0.03)
    assert not head.look.queries.bias.any()
