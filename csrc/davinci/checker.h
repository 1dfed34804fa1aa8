// The static hazard check: completion clocks over the flat instructions of every core (a program is proved before it runs).
// What is found are plain records; ascendlite/npu/checker.py turns them into texts. Knows no values.
#pragma once
#include <cstdint>
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

// Numbers of the rules R01..R24; what is no rule has a number of its own.
enum Rule : int {
  kCapacity = 1,
  kAlignment = 2,
  kEventId = 5,
  kFlagSetTwice = 6,
  kFlagLeft = 7,
  kSamePipe = 8,
  kAccumulate = 9,
  kUnitFlag = 10,
  kPartialOverlap = 11,
  kRepeats = 12,
  kStrides = 13,
  kUnwritten = 14,
  kOutOfBounds = 15,
  kRace = 16,
  kCoreRace = 17,
  kDeadlock = 18,
  kCrossFlag = 19,
  kResident = 20,
  kNotCoherent = 21,
  kWrongCore = 22,
  kScalarRead = 24,
  kUnsupported = 100,    // not a hazard: the check can't prove it
  kOrderDependent = 101  // a note: unordered atomic updates, so the sum's rounding depends on the order
};

// Why a program is not proved, or which flavour of a rule was broken: `reason` of a finding.
enum Reason : int {
  kPlain,
  kMaySetTwice,  // R06: the wait may not have run yet
  kStaleCopy,
  kDirtyAtExit,  // R21
  kFlagAtExit,
  kCounterAtExit,
  kUnitFlagAtExit,  // R10
  kIdRange,
  kCounterOverflow,  // R19
  kBlocksDiffer,     // R18: blocks reach a barrier of all a different number of times
  kDataDependentFlow,
  kDataDependentSync,
  kWidenedOverlap,
  kUnknownMode,
  kTooLong,
  kTooManyOverlaps,
  kTooManyStreams,  // unsupported
  kFromUnwritten    // R14: computed from bytes that nothing wrote
};

// What a waiting instruction of a deadlock waits for: the first of its six numbers.
enum Wait : int64_t {
  kOnFlag,      // source pipe, event, sets of it that are still in the source's queue
  kOnCross,     // id, sets there are of core 0, 1, 2, bits of the cores whose set it needs
  kOnSyncAll,   // bits of its pipes that are not empty, whether it has arrived
  kOnDrain,     // PIPE_ALL: bits of the pipes that are not empty
  kOnUnitFlag,  // what it waits for the flags to be
  kOnQueue      // room in a full queue
};

struct Limits {
  int64_t bytes[kNumMemories];  // capacities; of GM: not used
  int64_t align[kNumMemories];  // of a start
  int64_t cores[2];             // AIC, AIV
  bool split_cores = true;      // cube and vector cores are separate (all but 1001)
  int64_t most_instructions = 50'000'000;
};

// One side of a finding.
struct Party {
  int8_t core = -1;  // within its group: 0 AIC, 1 and 2 AIV; -1: nobody
  uint8_t pipe = 0, memory = 0, access = 0;
  int16_t tensor = -1;
  uint16_t opcode = 0;
  int32_t site = -1;
  uint32_t ordinal = 0;  // of the instructions of that pipe, from 1
  int64_t block = 0;
  int64_t low = 0, high = 0;  // bytes of the operand
  std::vector<int64_t> args;
};

struct Finding {
  explicit Finding(int rule_, int reason_ = kPlain) : rule(rule_), reason(reason_) {}
  int rule, reason;
  std::vector<Party> parties;    // the later instruction, then the earlier one; of a deadlock: all that wait
  int64_t low = 0, high = 0;     // bytes in common
  int64_t count = 1;             // instructions of the same sites that were found so
  std::vector<int64_t> blocks;   // that do the same
  std::vector<int64_t> numbers;  // by rule
};

struct CheckReport {
  std::vector<Finding> findings;
  int64_t classes = 0, instructions = 0;  // checked, not folded
  int64_t used[kNumMemories] = {};        // highest byte touched
};

// `storage`, `offset`: of each GM argument, so that arguments that share memory are seen as one; empty: all are separate.
CheckReport check(const Program& program, int64_t blocks, const Limits& limits, const std::vector<int64_t>& storage,
                  const std::vector<int64_t>& offset);

}  // namespace al::davinci
