// One emulated core while it runs: its local memories, the arguments in GM, and the modes that decide what a number is.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "davinci/formats.h"
#include "davinci/program.h"

namespace al::davinci {

// What values are computed in. kDevice: the card's types. kFloat, kDouble: every float type is held as float or double ("wide"
// memories): what lies at nominal byte a of a memory is stored at a * scale(), so footprints and times do not change.
enum Mode : int { kDevice, kFloat, kDouble, kShadow };

enum Option : int {
  kSaturate = 1,        // float16 and bfloat16 results: infinity becomes the largest finite value, NaN 0; the overflow flag is raised
  kLowPrecision = 2,    // Reciprocal and Rsqrt keep 9 bits, as the card's instructions about do
  kHf32TowardZero = 4,  // HF32 rounds ties toward zero (SetHF32TransMode) instead of to even
};

struct Numerics {
  int mode = kDevice;
  int options = 0;
  int64_t scale() const { return mode == kFloat ? 4 : mode == kDouble ? 8 : 1; }
  bool wide() const { return mode == kFloat || mode == kDouble; }
  bool saturates() const { return !wide() && (options & kSaturate); }
  // The format that values of a nominal format are held and computed in.
  int held(int format) const {
    return !wide() || !is_float_format(format) ? format : mode == kFloat ? int(kFloat32) : int(kFloat64);
  }
};

// The largest of any chip, so that one allocation serves all; which part of it a kernel may use is the checker's matter.
constexpr int64_t kMemoryBytes[kNumMemories] = {0, 256 << 10, 512 << 10, 64 << 10, 64 << 10, 256 << 10, 4 << 10, 8 << 10};

// The local memories of one core, zero at first. Pages that no kernel touches take no room.
class LocalMemories {
 public:
  explicit LocalMemories(int64_t scale);
  ~LocalMemories();
  LocalMemories(const LocalMemories&) = delete;
  LocalMemories& operator=(const LocalMemories&) = delete;
  char* at(int memory) const { return memories_[memory]; }
  void poison();  // NaN bits everywhere
  void forget();  // zeros again, and no room taken

 private:
  char* pages_;
  int64_t bytes_;
  std::array<char*, kNumMemories> memories_{};
};

// Where something lies: a local memory or, from kNumMemories on, an argument in GM; the byte offset is already scaled.
struct Place {
  int32_t slot;
  int64_t offset;
};

struct Core {
  std::vector<char*> bases;  // by Place::slot
  bool overflow = false;
  char* at(const Place& p) const { return bases[p.slot] + p.offset; }
};

// Takes local memories from a pool that outlives launches, and gives them back.
class BorrowedMemories {
 public:
  explicit BorrowedMemories(int64_t scale);
  ~BorrowedMemories();
  LocalMemories& operator*() const { return *held_; }
  LocalMemories* operator->() const { return held_.get(); }
  BorrowedMemories(BorrowedMemories&& other) = default;

 private:
  int64_t scale_;
  std::unique_ptr<LocalMemories> held_;
};

}  // namespace al::davinci
