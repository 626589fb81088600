"""Places in the project."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "scripts"
SCHEMA = ROOT / "config" / "schema.yaml"
HARDWARE = ROOT / "resources" / "hardware"
