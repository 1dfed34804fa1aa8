#!/bin/bash
# Tests the code for AVX-512 on a machine that has AVX2 only: the same loops, tiles and tails, with vectors of 64 bytes that the
# compiler makes of two halves, and with bfloat16 products by pairs. The instructions themselves are not run.
# Usage:
#   tools/test_wide.sh [PYTEST_ARGUMENTS]     default: the tests of kernels
# Needs the dev and test extras.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build/wide prefix=$PWD/build/wide/installed
[ $# -gt 0 ] || set -- tests/test_ops.py tests/test_gemm.py tests/test_conv_small.py tests/test_conv_winograd.py tests/test_random_ops.py tests/test_invariance.py
[ -f "$build/build.ninja" ] || meson setup "$build" --prefix="$prefix" -Dpython.install_env=prefix -Dinstruction_sets=avx2 \
  -Dcpp_args=-DAL_WIDE_BY_HALVES
ninja -C "$build"
meson install -C "$build" --only-changed --no-rebuild > "$build/install.log"
PYTHONPATH=$(find "$prefix" -type d -name site-packages | head -1)
export PYTHONPATH PYTHONSAFEPATH=1
python -m pytest -p no:cacheprovider "$@"
