"""TypeScript's own compiler, over files that import the client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/typescript"

OPTIONS = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "isolatedModules": True,
    "noUncheckedIndexedAccess": True,
    "noUnusedLocals": True,
    "verbatimModuleSyntax": True,
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "es2022",
    "lib": ["es2022", "dom"],
    "types": [],
    "noEmit": True,
}


def compile_folder(folder: Path, **options: object) -> str:
    """What tsc has to say of the files of a folder; nothing where all is well. ``options`` are other than usual."""
    paths = {
        "wigwag-client": [str(CLIENT / "src/index.ts")],
        "ws": [str(CLIENT / "node_modules/@types/ws/index.d.ts")],
    }
    settings = {"compilerOptions": {**OPTIONS, "paths": paths, **options}, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    (folder / "package.json").write_text('{"type": "module"}')
    command = [
        "node",
        str(CLIENT / "node_modules/typescript/bin/tsc"),
        "--project",
        str(folder),
        "--pretty",
        "false",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0 or ended.stdout, ended.stderr
    return ended.stdout
