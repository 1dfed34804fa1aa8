// The block-wise driver of pointwise loops whose operands are strided, broadcast or 16 bits wide.
#include "loops.h"

#include <algorithm>

#include "simd/stream.h"

namespace al {

std::atomic<bool> large_output{false};
// Bytes of a block that goes past the caches: so few that the processor is asking for the next block's operands while it writes this one. A block
// that fills its window of instructions makes reading and writing take turns (`benchmarks/run.py --only add_16m`: half of the limit with 2 KiB).
constexpr int64_t kStreamBlock = 1024;

void drive(InnerFn inner, const Port* ports, int nargs, char* const* data, const int64_t* strides,
           int64_t n) {
  alignas(64) char blocks[kMaxPorts][kBlock * 8];
  void* operands[kMaxPorts];
  bool staged[kMaxPorts] = {};
  int widest = 1;
  for (int k = 0; k < nargs; k++) {
    staged[k] = ports[k].converts || strides[k] != ports[k].size;
    widest = std::max(widest, int(ports[k].compute_size));
  }
  const bool streams = !staged[0] && n >= kStreamRun && large_output.load(std::memory_order_relaxed);
  const int64_t block = (streams ? kStreamBlock : kBlock * 8) / widest;
  for (int k = 1; k < nargs; k++)  // broadcast operands are spread once
    if (strides[k] == 0) ports[k].stage(data[k], 0, blocks[k], std::min(n, block));
  int64_t count = streams ? stream::until_aligned(data[0]) / strides[0] : 0;
  for (int64_t begin = 0; begin < n; begin += count) {
    count = std::min(begin == 0 && count ? count : block, n - begin);
    for (int k = 0; k < nargs; k++) {
      char* address = data[k] + begin * strides[k];
      operands[k] = staged[k] ? static_cast<void*>(blocks[k]) : address;
      if (k > 0 && staged[k] && strides[k] != 0) ports[k].stage(address, strides[k], blocks[k], count);
    }
    if (streams) operands[0] = blocks[0];
    inner(operands, count);
    if (streams) stream::copy(data[0] + begin * strides[0], blocks[0], count * strides[0]);
    if (staged[0]) ports[0].stage(data[0] + begin * strides[0], strides[0], blocks[0], count);
  }
  if (streams) stream::fence();
}

// data[0]: the size of the output in bytes as int64, or null when it is done.
static void stream_output(char* const* data, const int64_t*, int64_t) {
  int64_t bytes = 0;
  if (data[0]) std::memcpy(&bytes, data[0], sizeof bytes);
  large_output.store(bytes && stream::pays(bytes), std::memory_order_relaxed);
}

AL_REGISTER() { runtime->entry("stream_output")->loops[kBool] = stream_output; }

}  // namespace al
