// The block-wise driver of pointwise loops whose operands are strided, broadcast or 16 bits wide.
#include "loops.h"

#include <algorithm>

namespace al {

void drive(InnerFn inner, const Port* ports, int nargs, char* const* data, const int64_t* strides,
           int64_t n) {
  alignas(64) char blocks[kMaxPorts][kBlock * 8];
  void* operands[kMaxPorts];
  bool staged[kMaxPorts];
  int widest = 1;
  for (int k = 0; k < nargs; k++) {
    staged[k] = ports[k].converts || strides[k] != ports[k].size;
    widest = std::max(widest, int(ports[k].compute_size));
  }
  const int64_t block = kBlock * 8 / widest;
  for (int k = 1; k < nargs; k++)  // broadcast operands are spread once
    if (strides[k] == 0) ports[k].stage(data[k], 0, blocks[k], std::min(n, block));
  for (int64_t begin = 0; begin < n; begin += block) {
    int64_t count = std::min(block, n - begin);
    for (int k = 0; k < nargs; k++) {
      char* address = data[k] + begin * strides[k];
      operands[k] = staged[k] ? static_cast<void*>(blocks[k]) : address;
      if (k > 0 && staged[k] && strides[k] != 0) ports[k].stage(address, strides[k], blocks[k], count);
    }
    inner(operands, count);
    if (staged[0]) ports[0].stage(data[0] + begin * strides[0], strides[0], blocks[0], count);
  }
}

}  // namespace al
