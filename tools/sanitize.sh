#!/bin/bash
# Builds with a sanitizer and runs the native tests under it.
# Usage: tools/sanitize.sh address|thread [PYTEST_ARGUMENTS]; needs the dev and test extras. A report ends the run with an error.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
shift
case $kind in
  address) flag=address,undefined; libraries="libasan.so libubsan.so" ;;
  thread) flag=thread; libraries=libtsan.so ;;
  *) echo "sanitize.sh: unknown kind '$kind'; use address or thread" >&2; exit 2 ;;
esac
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(tests/test_runtime.py tests/test_ops.py -k "not large or threads")
sets=$(python -c "import platform; print('avx2' if platform.machine() == 'x86_64' else 'neon')")
build=$PWD/build/sanitize-$kind
prefix=$build/installed
[ -f "$build/build.ninja" ] || meson setup "$build" --prefix="$prefix" -Dpython.install_env=prefix -Dinstruction_sets="$sets" \
  -Db_sanitize=$flag -Db_lundef=false -Dbuildtype=debugoptimized -Doptimization=1
ninja -C "$build"
meson install -C "$build" --only-changed --no-rebuild > "$build/install.log"
preload=$(for l in $libraries; do gcc -print-file-name=$l; done | paste -sd:)
site=$(find "$prefix" -type d -name site-packages | head -1)
export PYTHONPATH=$site PYTHONSAFEPATH=1 PYTHONMALLOC=malloc
# Python itself keeps memory until it ends; what ascendlite leaks is the matter of tests/test_leaks.py.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:use_sigaltstack=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tools/tsan.supp
LD_PRELOAD=$preload python -m pytest "${tests[@]}" -p no:cacheprovider
