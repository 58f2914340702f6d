#!/bin/sh
# Fuzzes the shim's parsers for a bounded time: test/fuzz/run.sh [seconds, default 60]
# Needs clang with its run-time libraries (Debian: clang, libclang-rt-14-dev). The corpus stays in build/fuzz.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
out=build/fuzz

if ! command -v clang >/dev/null; then
  echo "Fuzzing the shim needs clang. On Debian: apt-get install clang libclang-rt-14-dev" >&2
  exit 1
fi

mkdir -p $out/seeds $out/corpus
# Of the harness only; the shim itself is compiled with every warning by deploy/build-shim.ts.
clang -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-variable \
  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all test/fuzz/shim-fuzz.c -o $out/shim-fuzz

# One seed or two a parser; the first byte chooses it ('0' is 48, and 48 % 6 = 0).
printf '0socket=/run/underway/cni.sock\nstate=/var/lib/underway\r\n# a comment\ndeadline_ms=5000\n' >$out/seeds/settings
printf '1HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{"":1}' >$out/seeds/reply-long
printf '1HTTP/1.1 503 X\r\nDate: x\r\ncontent-length:  2 \r\n\r\n{}' >$out/seeds/reply
printf '1HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' >$out/seeds/reply-chunks
printf '2plain "quoted" \\ \001 \303\251 \342\202\254 \360\237\230\200 \377' >$out/seeds/escape
printf '3{"a":{"cniVersion":"9"},"b":["\\"{"], "cniVersion" : "1.0.0"}' >$out/seeds/version
trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
printf '4ADD\0c1\0/var/run/netns/x\0eth0\0A=1\0/opt/cni/bin\0%s\0{}' $trace >$out/seeds/environment
printf '4DEL\0a-b_c.d\0-\0eth0\0-\0/p\0-\0{"name":"x"}' >$out/seeds/environment-del
printf '5{"msg":"ENI not found, No such file or directory"}' >$out/seeds/del-error

exec $out/shim-fuzz -max_total_time="$seconds" -max_len=4096 -timeout=5 -print_final_stats=1 \
  -artifact_prefix=$out/ $out/corpus $out/seeds
