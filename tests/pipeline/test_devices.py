from __future__ import annotations

import pytest
import torch

from fouls.errors import SpecMismatchError
from fouls.pipeline.devices import default_precision
from fouls.pipeline.prepare import prepare

from .conftest import Project


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True, "avx512_bf16": False}, "fp32")],
)
def test_a_cpu_that_multiplies_bf16_does_so(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert default_precision("cpu") == precision
    assert default_precision("mps") == "fp32"


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_multiplies_bf16_does_so(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: asked.append(options) or native)
    assert default_precision("cuda:1") == ("bf16" if native else "fp32")
    assert asked == [{"including_emulation": False}]


@pytest.mark.parametrize(("began", "native"), [("fp32", True), ("bf16", False)])
def test_a_store_is_gone_on_with_as_it_was_begun(
    project: Project, monkeypatch: pytest.MonkeyPatch, began: str, native: bool
) -> None:
    """On another machine, whose default is another precision."""
    assert project.extract(limit=2, precision=began).new_rows == 2
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    prepared = prepare(project.options())
    assert prepared.spec.precision == prepared.recipe.precision == prepared.backbone.precision == began
    other = "fp32" if began == "bf16" else "bf16"
    assert prepare(project.options("elsewhere")).spec.precision == other
    with pytest.raises(SpecMismatchError, match=f"precision is '{began}' there, '{other}' here"):
        prepare(project.options(precision=other))


def test_a_store_is_gone_on_with_in_batches_of_the_size_that_it_was_begun_with(project: Project) -> None:
    project.extract(limit=4, batch_size=3)
    assert project.extract(batch_size=None).summary.todo == 0
    assert [record.batch_size for record in project.store().ledger()] == [3, 3, 3]
    project.extract("other", limit=4, batch_size=3)
    project.extract("other", batch_size=2)
    assert [record.batch_size for record in project.store("other").ledger()] == [3, 2, 2]
