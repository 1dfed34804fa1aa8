// The cores that one block of a launch gives work: their programs are put in one order that respects the flags between cores, and run.
#pragma once
#include <array>
#include <optional>
#include <vector>

#include "davinci/steps.h"

namespace al::davinci {

constexpr int kFlagIds = 32;  // 0-15, and the second vector core's 16-31 in mode 4

// How often a core has arrived at a point where cores of all groups meet.
struct Arrivals {
  int all = 0, kind = 0;                // SyncAll of every core, of one kind
  std::array<int, kFlagIds> flags{};    // CrossCoreSetFlag in mode 0
};
// The least of these over cores: what a waiting core compares its own count with.
struct Released {
  int all = 0;
  std::array<Arrivals, 2> of{};  // by CoreKind
};

// A piece of a core's steps; core -1: all groups meet here.
struct Segment {
  int core;
  size_t begin, end;
};

// The order of one group, kept for later launches.
struct GroupSteps {
  Steps steps;
  std::vector<Segment> segments;
  int64_t bytes = 0;  // touched by its operands: a measure of the work
};

// Why a core does not move.
enum class Halt { kNone, kFlag, kGlobal, kDone };

struct GroupCore {
  CoreKind kind;
  int vector;  // 0 or 1 for a vector core
  Walker walker;
  Core state;
  Halt halt = Halt::kNone;
  int flag = 0;        // kFlag: which one it waits for
  Instr pending{};     // the wait it stopped at
  Arrivals arrived;
  std::array<int, kFlagIds> waited{};  // waits in mode 0 that are over
};

class Group {
 public:
  // `pointers`: the arguments' addresses. The memories belong to the caller: one for each core.
  Group(const Program& program, const Numerics& numerics, int64_t block, const std::vector<int64_t>& pointers,
        const std::vector<LocalMemories*>& memories);

  static int cores_of(const Program& p) { return (p.has_cube() ? 1 : 0) + p.vectors_per_group(); }
  // Runs until every core is done or waits for other groups; false when nothing could move. `keep`: collects the steps.
  bool advance(const Released& released, GroupSteps* keep);
  bool done() const;
  bool overflow() const;
  std::string stuck() const;  // what each core waits for
  const std::vector<GroupCore>& cores() const { return cores_; }

 private:
  bool move(int index, const Released& released);
  bool passes(GroupCore& core, const Released& released);
  bool take(GroupCore& core, int flag);
  bool take_global(GroupCore& core, int flag, const Released& released);
  void set_flag(int index, int64_t mode, int64_t flag);
  void read_scalar(GroupCore& core, const Instr& i);
  void build(GroupCore& core, const Instr& i);
  void flush(int index);

  const Program& program_;
  const Numerics& numerics_;
  std::vector<Meaning> meanings_;
  std::vector<GroupCore> cores_;
  // Sets that no wait has taken: by receiving core, flag, sending core; column 3 + sender: mode 1; column 6: mode 4.
  std::array<std::array<std::array<int, 7>, kFlagIds>, 3> flags_{};
  Steps scratch_;
  GroupSteps* keep_ = nullptr;
  size_t begin_ = 0;
};

// What a GetValue reads: the value as an integer and as a real number.
struct Scalar {
  int64_t integer;
  double real;
};
Scalar load_scalar(const char* at, int held_format);

}  // namespace al::davinci
