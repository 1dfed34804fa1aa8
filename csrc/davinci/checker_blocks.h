// Blocks that run the same instructions, and the GM that different blocks touch.
#pragma once
#include <unordered_map>
#include <vector>

#include "davinci/checker.h"
#include "davinci/checker_group.h"
#include "davinci/checker_span.h"

namespace al::davinci {

// What must be known of GM: of each storage whether it is written, and whether the program also reads it.
struct Storages {
  std::vector<int64_t> of, offset;  // by argument
  std::vector<char> written, read;  // by storage
  // Storages that a group must follow by itself. Those that are only written are looked at over all blocks at once.
  std::vector<char> followed() const {
    std::vector<char> f(written.size());
    for (size_t s = 0; s < f.size(); ++s) f[s] = written[s] && read[s];
    return f;
  }
};
Storages storages_of(const Program& program, const std::vector<int64_t>& storage, const std::vector<int64_t>& offset);

// One access of a block to a storage that is written.
struct SharedAccess {
  Span span;
  int32_t block, storage, phase;  // phase: -1 where the program has no barrier of all cores
  int8_t core;
  bool write, atomic, widened;
  uint8_t pipe;
  int32_t site;
  int64_t index;  // of the core's instructions
  bool repeated = false;  // widened, and later instructions of this line touch the same
};

struct BlockWalk {
  uint64_t hash = 0;  // of everything but where in GM the block works
  std::vector<SharedAccess> accesses;
  std::vector<Finding> findings;
  int32_t stopped_at = -1;  // site of the instruction beyond the most that are followed
};

// Expands all cores of a block, at most `most` instructions each: its hash, bounds of its GM operands, and its accesses (with phases if
// they are given).
void walk_block(const Program& program, int64_t block, const Storages& storages, Taken taken, const GroupCheck* phases,
                int64_t most, BlockWalk& out);

// Pairs of accesses that no order separates. `phases`: by block, the check that its accesses' phases refer to.
// Same block pairs of storages that are only written are not judged but listed in `again`: blocks to check with these storages
// followed.
void compare_blocks(const Storages& storages, std::vector<SharedAccess>& accesses, const std::vector<const GroupCheck*>& phases,
                    std::vector<Finding>& findings, std::vector<char>& again);

}  // namespace al::davinci
