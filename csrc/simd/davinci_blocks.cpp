// Binary operations on float blocks with strides: rows with gaps, one block for all blocks of a row (row-wise broadcasts).
#include "davinci/blocks.h"

#include <cstring>

#include "dtypes.h"
#include "kernel.h"

namespace al::davinci {
namespace {

typedef float Block __attribute__((vector_size(32)));
typedef Block LooseBlock __attribute__((aligned(4), may_alias));

template <class F> void over_blocks(char* const* data, const int64_t* size, int64_t) {
  for (int64_t r = 0; r < size[kBlocksRepeats]; r++) {
    char* to = data[0] + r * size[kBlocksDstRepeat];
    const char *a = data[1] + r * size[kBlocksARepeat], *b = data[2] + r * size[kBlocksBRepeat];
    for (int64_t i = 0; i < size[kBlocksPerRepeat]; i++) {
      const Block x = *reinterpret_cast<const LooseBlock*>(a), y = *reinterpret_cast<const LooseBlock*>(b);
      *reinterpret_cast<LooseBlock*>(to) = F{}(x, y);
      to += size[kBlocksDstBlock], a += size[kBlocksABlock], b += size[kBlocksBBlock];
    }
  }
}

template <class F> void add_blocks(const char* name, F) { runtime->entry(name)->loops[kFloat32] = over_blocks<F>; }

// The values of the contiguous loops of these names, NaN included.
AL_REGISTER() {
  add_blocks("davinci.blocks add", [](Block a, Block b) { return a + b; });
  add_blocks("davinci.blocks sub", [](Block a, Block b) { return a - b; });
  add_blocks("davinci.blocks mul", [](Block a, Block b) { return a * b; });
  add_blocks("davinci.blocks div", [](Block a, Block b) { return a / b; });
  add_blocks("davinci.blocks maximum", [](Block a, Block b) { return (a != a) | (a > b) ? a : b; });
  add_blocks("davinci.blocks minimum", [](Block a, Block b) { return (a != a) | (a < b) ? a : b; });
}

}  // namespace
}  // namespace al::davinci
