#!/bin/bash
# Compiles every C++ source and the core for AArch64 with Debian's cross compiler (apt-get install g++-aarch64-linux-gnu).
# Usage: tools/cross_aarch64.sh [BUILD_FOLDER]. It links and cannot run: the tests need the hardware.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/aarch64}
mkdir -p "$build"
# Python's own headers differ between architectures in pyconfig.h alone, which Debian keeps apart; the sizes are the same.
meson setup "$build" --cross-file packaging/aarch64-linux-gnu.ini -Dinstruction_sets=all --wipe 2>/dev/null || \
  meson setup "$build" --cross-file packaging/aarch64-linux-gnu.ini -Dinstruction_sets=all
ninja -C "$build"
