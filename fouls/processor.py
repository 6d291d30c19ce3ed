"""What the processor of this machine is good at."""

from __future__ import annotations

import torch


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products of bf16 (AVX512-BF16 or AMX), and torch the library for them."""
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return bool(native) and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
