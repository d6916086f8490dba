#!/usr/bin/env bash
# genai-perf 0.0.16 from PyPI installs without a word and can send no request: its engine there is an empty package.
#
# Found: it requires `perf-analyzer`, of which PyPI has one release, 0.1.0, with the summary "Placeholder", no program and
# an empty module. `genai-perf profile` makes its inputs and then ends with "No such file or directory: 'perf_analyzer'".
# The program itself is in NVIDIA's container images and releases alone.
# Expected: a requirement that holds what is required, or a line at installation that says where to get it.
# Seen 2026-11-29: perf-analyzer 0.1.0 (Placeholder), 0 programs; profile: exit 1, no request at the server.
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'genai-perf==0.0.16' 'transformers==5.24.0'
"$VENV/bin/python" - "$TMP/tokenizer" >/dev/null 2>&1 <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(sys.argv[1])
PY
server=$(free_port)
: >"$TMP/seen.jsonl"
begin "${CHAT[@]}" serve "$server" --log "$TMP/seen.jsonl"
answers "http://127.0.0.1:$server/v1/models"
code=0
(cd "$TMP" && PATH="$VENV/bin:/usr/bin:/bin" timeout 120 "$VENV/bin/genai-perf" profile -m plain --endpoint-type chat \
  --streaming -u "127.0.0.1:$server" --request-count 5 --tokenizer "$TMP/tokenizer" >profile.log 2>&1) || code=$?
asked=$(wc -l <"$TMP/seen.jsonl")
version=$("$VENV/bin/pip" show perf-analyzer | sed -n 's/^Version: //p; s/^Summary: //p' | paste -sd' ')
programs=$("$VENV/bin/pip" show -f perf-analyzer | grep -c 'bin/' || true)
echo "perf-analyzer $version, $programs programs; profile: exit $code, $asked requests at the server"
grep -q "No such file or directory: 'perf_analyzer'" "$TMP/profile.log" && [ "$code$asked$programs" = 100 ]
