// What loops over strided blocks of 32 bytes take in place of strides: whole blocks of float, any block and repeat strides.
#pragma once

namespace al::davinci {

// data: dst, a, b. In bytes, but for the counts.
enum BlockSize : int {
  kBlocksRepeats, kBlocksPerRepeat, kBlocksDstBlock, kBlocksABlock, kBlocksBBlock, kBlocksDstRepeat, kBlocksARepeat, kBlocksBRepeat, kNumBlockSizes
};

}  // namespace al::davinci
