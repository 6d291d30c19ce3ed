from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from fouls.errors import ConfigError, ExecutorError
from fouls.pipeline.backbones.loading import check_device, load_backbone


def test_devices_that_are_not_there():
    assert check_device("cpu") == torch.device("cpu")
    count = torch.cuda.device_count()
    with pytest.raises(ExecutorError, match=f"'cuda:{count}' is not there: this machine has {count} CUDA GPUs"):
        load_backbone("mvit", weights="random:0", device=f"cuda:{count}")
    with pytest.raises(ExecutorError, match="'gpu' does not exist; type cpu, cuda or cuda:N"):
        check_device("gpu")


def test_precision_that_does_not_exist():
    with pytest.raises(ConfigError, match="precision is 'int8'; allowed: fp32, bf16, fp16"):
        load_backbone("mvit", weights="random:0", precision="int8")


def test_torchvision_of_another_build_is_explained(tmp_path):
    (tmp_path / "torchvision").mkdir()
    failure = 'raise RuntimeError("operator torchvision::nms does not exist")'
    (tmp_path / "torchvision" / "__init__.py").write_text(failure)
    code = (
        "from fouls.errors import BackboneError\n"
        "from fouls.pipeline.backbones.loading import load_backbone\n"
        "try:\n    load_backbone('mvit', weights='random:0')\n"
        "except BackboneError as error:\n    print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith(f"torchvision does not fit torch {torch.__version__}: they are of different builds;")
    assert done.stdout.count("\n") == 1
