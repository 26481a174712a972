#!/usr/bin/env bash
# Evaluate with several processes, one for each GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [arguments of tools/test.py]
# On several machines set NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT on each.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT NUM_PROCESSES [arguments of tools/test.py]" >&2
    exit 2
fi
processes=$3
arguments=("$1" "$2" "${@:4}")
if [ "${NNODES:-1}" -gt 1 ]; then
    meeting=(--nnodes "$NNODES" --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT")
else
    meeting=(--standalone)
fi
exec python -m torch.distributed.run "${meeting[@]}" --nproc_per_node "$processes" \
    "$(dirname "$0")/test.py" "${arguments[@]}" --launcher pytorch
