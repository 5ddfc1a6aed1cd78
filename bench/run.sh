#!/bin/sh
# Makes the figures of bench/README.md. Names of figures as arguments; all of them without.
#   backup | rebuild | plan | journal | apply | tenants | typed | servers | transform | memory
#   ROUNDS=n (default 5), ROWS=n, SCRATCH=folder (default: a new one)
set -eu
cd "$(dirname "$0")/.."

for peer in sqlite3 strace jq pgloader; do
    command -v "$peer" >/dev/null || apt-get install -y --no-install-recommends "$peer"
done
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
    apt-get install -y --no-install-recommends postgresql
# Not in every release of Debian; its figure is left out where it is not.
command -v pgcopydb >/dev/null || apt-get install -y --no-install-recommends pgcopydb >/dev/null 2>&1 || true
cargo build --release -p switchback --bin switchback --example measure
switchback=$PWD/target/release/switchback
measure=$PWD/target/release/examples/measure
rounds=${ROUNDS:-5}
scratch=${SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT

# lab NAME MACHINES BACKUPS [FLAG]: an installation as a killed application leaves it, or a running one.
lab() {
    name=$1 machines=$2 backups=$3
    shift 3
    "$switchback" demo --build-only --dir "$scratch/$name" --machines "$machines" --backups "$backups" "$@" >&2
}

figure() {
    echo "== $1"
    case $1 in
    backup)
        lab backup 200 200000
        "$measure" backup "$scratch/backup/data/backups.db" "$scratch" "$rounds"
        ;;
    rebuild)
        lab rebuild 200 2000000
        "$measure" rebuild "$scratch/rebuild/data/backups.db" "$scratch" "$rounds"
        ;;
    plan)
        lab plan 5 156
        "$measure" plan "$switchback" "$scratch/plan" 20
        ;;
    journal)
        lab journal 5 156 --running
        "$switchback" plan --site "$scratch/journal/site.yaml" >/dev/null
        "$measure" journal "$switchback" "$scratch/journal"
        ;;
    apply)
        lab apply 200 200000 --running
        "$switchback" plan --site "$scratch/apply/site.yaml" >/dev/null
        "$measure" apply "$switchback" "$scratch/apply"
        ;;
    tenants)
        cargo run --release -q -p switchback-flow --example tenants -- "${ROWS:-1000000}" 2 "$rounds"
        ;;
    typed) "$measure" typed "$scratch" "${ROWS:-3000000}" "$rounds" ;;
    servers) "$measure" servers "$scratch" "${ROWS:-1000000}" "$rounds" ;;
    transform)
        mkdir -p "$scratch/transform"
        "$measure" transform "$switchback" "$scratch/transform" "${ROWS:-350000}" "$rounds"
        ;;
    memory)
        for rows in 300000 3000000; do "$measure" typed "$scratch/memory$rows" "$rows" 0 | tail -1; done
        for rows in 100000 1000000; do "$measure" servers "$scratch/memory$rows" "$rows" 0 | tail -1; done
        ;;
    *)
        echo "there is no figure $1" >&2
        exit 2
        ;;
    esac
}

[ $# -gt 0 ] || set -- backup rebuild plan journal apply tenants typed servers transform memory
echo "$(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
for name in "$@"; do figure "$name"; done
