#!/usr/bin/env bash
# Train with several processes, one for each GPU:
#   tools/dist_train.sh CONFIG NUM_PROCESSES [arguments of tools/train.py]
# On several machines set NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG NUM_PROCESSES [arguments of tools/train.py]" >&2
    exit 2
fi
processes=$2
arguments=("$1" "${@:3}")
if [ "${NNODES:-1}" -gt 1 ]; then
    meeting=(--nnodes "$NNODES" --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT")
else
    meeting=(--standalone)
fi
exec python -m torch.distributed.run "${meeting[@]}" --nproc_per_node "$processes" \
    "$(dirname "$0")/train.py" "${arguments[@]}" --launcher pytorch
