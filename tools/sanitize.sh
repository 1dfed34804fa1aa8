#!/bin/bash
# Runs native code under a sanitizer; the first report ends the run with an error. Usage:
#   tools/sanitize.sh address [PYTEST_ARGUMENTS]   the native tests, then Python tests (default: every op) on a build of its own
#                                              tests/npu: the emulated core, that is executor, checker and clock
#   tools/sanitize.sh thread                       the runtime's native test (CPython itself is not built for this sanitizer)
# Needs the dev and test extras.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
shift
build=$PWD/build/sanitize-$kind
mkdir -p "$build"
runtime_test() {
  g++ -std=c++20 -O1 -g -fsanitize="$1" -Icsrc tests/native/runtime_test.cpp csrc/runtime/{allocator,pages,threads}.cpp -lpthread -o "$build/runtime_test"
  "$build/runtime_test" "${@:2}"
}
kernels_test() {
  local set=()
  [ "$(uname -m)" != x86_64 ] || set=(-march=x86-64-v3)
  g++ -std=c++20 -O1 -g -ffp-contract=off "${set[@]}" -fsanitize="$1" -Icsrc tests/native/kernels_test.cpp -o "$build/kernels_test"
  "$build/kernels_test"
}
checker_fuzz() {
  g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Icsrc tests/native/checker_fuzz.cpp csrc/davinci/{program,checker*}.cpp \
    -o "$build/checker_fuzz"
  "$build/checker_fuzz"
}
clock_fuzz() {
  g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Icsrc tests/native/clock_fuzz.cpp \
    csrc/davinci/{program,clock,clock_core,clock_pipe,costs,events,fabric,l2,pace}.cpp -o "$build/clock_fuzz"
  "$build/clock_fuzz"
}
case $kind in
  address) runtime_test address,undefined; kernels_test address,undefined; checker_fuzz; clock_fuzz ;;
  thread) runtime_test thread without_fork; exit ;;
  *) echo "sanitize.sh: unknown kind '$kind'; use address or thread" >&2; exit 2 ;;
esac

[ $# -gt 0 ] || set -- tests/test_ops.py
prefix=$build/installed
set_name=$(python -c "import platform; print('avx2' if platform.machine() == 'x86_64' else 'neon')")
[ -f "$build/build.ninja" ] || meson setup "$build" --prefix="$prefix" -Dpython.install_env=prefix -Dinstruction_sets="$set_name" \
  -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized -Doptimization=1
ninja -C "$build"
meson install -C "$build" --only-changed --no-rebuild > "$build/install.log"
PYTHONPATH=$(find "$prefix" -type d -name site-packages | head -1)
export PYTHONPATH PYTHONSAFEPATH=1 PYTHONMALLOC=malloc
# Python keeps memory until it ends, so leaks are the matter of tests/test_leaks.py.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) python -m pytest -p no:cacheprovider "$@"
