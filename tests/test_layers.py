"""Arrows point one way: flows -> pipeline -> siamese; faiss in one module, prefect in one package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
import siamese

ROOT = Path(__file__).parents[1]
LAYERS = ("siamese", "pipeline", "flows")
FORBIDDEN = {
    "siamese": {"pipeline", "flows", "faiss", "prefect", "pandas", "pyarrow.parquet", "pyarrow.csv", "pyarrow.dataset"},
    "pipeline": {"flows", "prefect"},
    "flows": {"faiss"},
}
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
    return {prefix for name in found for prefix in (name, name.split(".")[0])}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_arrow_points_upward(path):
    layer = path.relative_to(ROOT).parts[0]
    assert not imports(path) & FORBIDDEN[layer]
    if layer == "pipeline" and path.name != "index.py":
        assert "faiss" not in imports(path)


def test_every_layer_is_walked():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(LAYERS)
    assert "faiss" in imports(ROOT / "pipeline" / "index.py")


def test_the_command_starts_without_what_takes_seconds_to_import() -> None:
    heavy = "{'torch', 'faiss', 'prefect', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, flows.cli; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"


def test_a_name_that_is_not_exported_is_not_there() -> None:
    for module in (siamese, pipeline):
        with pytest.raises(AttributeError, match="nosuch"):
            _ = module.nosuch
