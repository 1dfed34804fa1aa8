#!/bin/bash
# Runs native code under a sanitizer, in parts; the first report ends the run with an error. Usage:
#   tools/sanitize.sh address [PART...]     PARTs: runtime memory kernels checker clock python; default: all, one after the other
#   tools/sanitize.sh address tests/npu ... Python tests alone, as pytest takes them, on a build of its own (python: tests/test_ops.py)
#   tools/sanitize.sh thread [PART...]      PARTs: runtime memory kernels queue (the executor on several threads and the queue of launches)
#   tools/sanitize.sh thread tests/npu ...  Python tests: CPython itself is not built for this sanitizer, so races of our code alone are seen
# runtime: allocator and threads; memory: the card's memory and its queue; kernels: products and convolutions (thread: on the pool
# of threads); checker, clock: programs without sense; queue: the Python tests of the queue and the executor. Python tests need the dev and
# test extras; tests/npu runs the executor.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
shift
case $kind in
  address) sanitizers=address,undefined preload=(libasan.so libubsan.so) parts=(runtime memory kernels checker clock python) without=() ;;
  thread) sanitizers=thread preload=(libtsan.so) parts=(runtime memory kernels queue) without=(without_fork) ;;
  *) echo "sanitize.sh: unknown kind '$kind'; use address or thread" >&2; exit 2 ;;
esac
build=$PWD/build/sanitize-$kind
mkdir -p "$build"

native() {  # NAME SOURCE...: the test of that name with these sources of the library
  local set=()
  [ "$(uname -m)" != x86_64 ] || set=(-march=x86-64-v3)
  g++ -std=c++20 -O1 -g -ffp-contract=off "${set[@]}" -fsanitize="$sanitizers" -fno-sanitize-recover=all -Icsrc \
    "tests/native/$1.cpp" "${@:2}" -lpthread -o "$build/$1"
}

pool=(csrc/runtime/{allocator,pages,threads}.cpp)
runtime() { native runtime_test "${pool[@]}" && "$build/runtime_test" "${without[@]}"; }
memory() { native memory_test csrc/davinci/{heap,queue}.cpp "${pool[@]}" && "$build/memory_test" "${without[@]}"; }
kernels() { native kernels_test "${pool[@]}" && "$build/kernels_test"; }
checker() { native checker_fuzz csrc/davinci/{program,checker*}.cpp && "$build/checker_fuzz" "${AL_PROGRAMS:-500}"; }
clock() {
  native clock_fuzz csrc/davinci/{program,clock,clock_core,clock_pipe,costs,events,fabric,l2,pace}.cpp && "$build/clock_fuzz" "${AL_PROGRAMS:-400}"
}

python_tests() {
  local prefix=$build/installed set_name
  set_name=$(python -c "import platform; print('avx2' if platform.machine() == 'x86_64' else 'neon')")
  [ -f "$build/build.ninja" ] || meson setup "$build" --prefix="$prefix" -Dpython.install_env=prefix -Dinstruction_sets="$set_name" \
    -Db_sanitize="$sanitizers" -Db_lundef=false -Dbuildtype=debugoptimized -Doptimization=1
  ninja -C "$build"
  meson install -C "$build" --only-changed --no-rebuild > "$build/install.log"
  PYTHONPATH=$(find "$prefix" -type d -name site-packages | head -1)
  export PYTHONPATH PYTHONSAFEPATH=1 PYTHONMALLOC=malloc
  # Python keeps memory until it ends, so leaks are the matter of tests/test_leaks.py.
  export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  export TSAN_OPTIONS=halt_on_error=1:exitcode=66
  # NumPy's products are not built for this sanitizer: on threads of their own they look like races.
  [ "$kind" != thread ] || export OPENBLAS_NUM_THREADS=1
  LD_PRELOAD=$(for one in "${preload[@]}"; do gcc -print-file-name="$one"; done | paste -sd:) python -m pytest -p no:cacheprovider --capture=sys "$@"
}

chosen=() others=()
for word in "$@"; do
  if [[ " ${parts[*]} " == *" $word "* ]]; then chosen+=("$word"); else others+=("$word"); fi
done
if [ ${#others[@]} -gt 0 ]; then
  [ ${#chosen[@]} -eq 0 ] && [ -e "${others[0]%%::*}" ] || { echo "sanitize.sh: $kind has no part '${others[0]}'; use ${parts[*]}" >&2; exit 2; }
  python_tests "${others[@]}"
  exit
fi
[ ${#chosen[@]} -gt 0 ] || chosen=("${parts[@]}")
for part in "${chosen[@]}"; do
  echo "== $part under $sanitizers"
  case $part in
    python) python_tests tests/test_ops.py ;;
    queue) python_tests tests/npu/test_queue.py tests/npu/test_executor.py -k "not fork" ;;  # a child has no threads under this sanitizer
    *) "$part" ;;
  esac
done
echo "sanitize.sh $kind: passed: ${chosen[*]}"
