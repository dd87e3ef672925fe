#!/bin/sh
# Three processes on loopback in a temporary directory: RUNS times bench write (both log engines, single points and
# batches) and bench read, medians at the end. `make bench` calls it after building bin/flotilla. 
set -eu
cd "$(dirname "$0")"
RUNS=${RUNS:-3}
DURATION=${DURATION:-10s}
BIN=$PWD/bin/flotilla
command -v curl >/dev/null || { echo "bench.sh needs curl" >&2; exit 1; }

DIR=$(mktemp -d)
PIDS=
ADDR=127.0.0.1:17601,127.0.0.1:17611,127.0.0.1:17621
export FLOTILLA_ADDR=$ADDR

stop_nodes() {
  for p in $PIDS; do kill "$p" 2>/dev/null || true; done
  for p in $PIDS; do wait "$p" 2>/dev/null || true; done
  PIDS=
}
trap 'stop_nodes; rm -rf "$DIR"' EXIT INT TERM

# start_nodes ENGINE RUN
start_nodes() {
  for n in 1 2 3; do
    "$BIN" start --name n$n --data-dir "$DIR/$1-$2/n$n" --log-engine "$1" --log-level warn \
      --rpc-addr 127.0.0.1:176$((n - 1))0 --http-addr 127.0.0.1:176$((n - 1))1 --gossip-addr 127.0.0.1:176$((n - 1))2 \
      --bootstrap-expect 3 --join 127.0.0.1:17602 --join 127.0.0.1:17612 --join 127.0.0.1:17622 \
      >"$DIR/n$n.log" 2>&1 &
    PIDS="$PIDS $!"
  done
  for port in 17601 17611 17621; do
    tries=0
    until curl -fs "http://127.0.0.1:$port/readyz" >/dev/null; do
      tries=$((tries + 1))
      [ $tries -lt 300 ] || { echo "node at $port is not ready:" >&2; cat "$DIR"/n*.log >&2; exit 1; }
      sleep 0.1
    done
  done
}

# measure FILE ARGUMENTS...: one row, appended.
measure() {
  file=$1
  shift
  "$BIN" bench "$@" --duration "$DURATION" -o csv >"$DIR/out" || echo "bench $* reports failures" >&2
  tail -n +2 "$DIR/out" >>"$DIR/$file"
}

for run in $(seq "$RUNS"); do
  for engine in shared boltdb; do
    start_nodes $engine "$run"
    measure "single, 256 callers, $engine" write
    if [ $engine = shared ]; then
      measure "single, 1 caller, $engine" write --callers 1 --devices 100
      measure "batches of 1000, 8 callers, $engine" write --batch 1000
      measure "range of 1000 points, 8 callers" read
      measure "last point, 64 callers" read --last
    fi
    stop_nodes
    rm -rf "$DIR/$engine-$run"
  done
done

# Columns of `bench -o csv`: 8 requests/s, 10 points/s, 12 proposals/s, 13 points a proposal, 14 p50, 16 p99. The median
# run is the middle one by requests/s.
printf '%-38s %11s %11s %12s %10s %8s %8s\n' "median of $RUNS runs" requests/s points/s proposals/s points/prop "p50 ms" "p99 ms"
for file in "$DIR"/single* "$DIR"/batch* "$DIR"/range* "$DIR"/last*; do
  sort -t, -k8,8n "$file" | awk -F, -v name="$(basename "$file")" '
    function number(text, form) { return text == "" ? "-" : sprintf(form, text) }
    { row[NR] = $0 }
    END { split(row[int((NR + 1) / 2)], f, ",")
      printf "%-38s %11s %11s %12s %10s %8s %8s\n", name, number(f[8], "%.0f"), number(f[10], "%.0f"), number(f[12], "%.0f"),
        number(f[13], "%.1f"), number(f[14], "%.2f"), number(f[16], "%.2f") }'
done
