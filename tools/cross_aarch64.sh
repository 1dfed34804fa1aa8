#!/bin/bash
# Compiles every C++ source and the core for AArch64 with Debian's cross compiler (apt-get install g++-aarch64-linux-gnu).
# Usage: tools/cross_aarch64.sh [BUILD_FOLDER]. Where qemu-aarch64 is installed (Debian: qemu-user) it then runs the native
# tests of kernels and runtime; the Python tests need the hardware.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/aarch64}
mkdir -p "$build"
# Python's own headers differ between architectures in pyconfig.h alone, which Debian keeps apart; the sizes are the same.
meson setup "$build" --cross-file packaging/aarch64-linux-gnu.ini -Dinstruction_sets=all --wipe 2>/dev/null || \
  meson setup "$build" --cross-file packaging/aarch64-linux-gnu.ini -Dinstruction_sets=all
ninja -C "$build"

if command -v qemu-aarch64 > /dev/null; then
  flags=(-std=c++20 -O1 -static -ffp-contract=off -march=armv8.2-a+fp16 -Icsrc)
  aarch64-linux-gnu-g++ "${flags[@]}" tests/native/kernels_test.cpp csrc/runtime/{allocator,pages,threads}.cpp -lpthread -o "$build/kernels_test"
  aarch64-linux-gnu-g++ "${flags[@]}" tests/native/runtime_test.cpp csrc/runtime/{allocator,pages,threads}.cpp -lpthread -o "$build/runtime_test"
  qemu-aarch64 "$build/kernels_test"
  qemu-aarch64 "$build/runtime_test" without_fork  # qemu 7.2 cannot fork a process that has threads
fi
