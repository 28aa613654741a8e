#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The extension author's path: a plugin compiled outside the tree from the installed headers
# alone is found through REIN_PLUGIN_PATH, shows in `rein inspect`, trains, and has its keys
# range-checked by the core.  run.sh BUILD_DIR SOURCE_DIR
set -eu
build=$1 source=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

fail() { echo "install: $*" >&2; exit 1; }

meson install -C "$build" --no-rebuild --quiet --destdir "$tmp/root" >/dev/null
inc=$(dirname "$(find "$tmp/root" -name rein.h | head -n 1)")
[ -n "$inc" ] || fail "no headers were installed"
mkdir "$tmp/plugins" "$tmp/author"
cp "$source/tests/install/huber.c" "$source/tests/install/huber.ini" "$tmp/author"
cd "$tmp/author"
${CC:-cc} -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror -O2 -fPIC -shared -fvisibility=hidden -Wl,-z,defs \
	-I"$inc/.." huber.c -o "$tmp/plugins/huber.so"

REIN_PLUGIN_PATH=$tmp/plugins
export REIN_PLUGIN_PATH
"$build/rein" inspect regularizer/huber >"$tmp/inspect" || fail "rein inspect does not find it"
grep -q 'delta' "$tmp/inspect" || fail "rein inspect does not list its keys"
"$build/rein" run huber.ini --out "$tmp/runs" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "it does not train"; }
grep -q 'soft.penalty' "$tmp"/runs/huber/*/metrics.jsonl || fail "its penalty is not in the metrics"

set +e
"$build/rein" run huber.ini --out "$tmp/runs2" regularizers.soft.lambda=-1 >"$tmp/log" 2>&1
rc=$?
set -e
[ $rc -eq 2 ] || fail "lambda=-1 gave exit code $rc, not 2"
grep -q 'lambda.*-1.*outside' "$tmp/log" || { cat "$tmp/log"; fail "no range error for lambda=-1"; }
echo "install: ok"
