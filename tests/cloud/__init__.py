"""Skipped, saying so, where the ``cloud`` extra or the server is not installed."""

import pytest

for _module in ("boto3", "flask", "moto", "obstore"):
    pytest.importorskip(_module)
