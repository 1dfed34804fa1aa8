// The cores that one block of a launch gives work: their programs are put in one order that respects the flags between cores, and run.
#pragma once
#include <array>
#include <vector>

#include "davinci/flags.h"
#include "davinci/steps.h"

namespace al::davinci {

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
  int64_t bytes = 0;    // touched by its operands: a measure of the work
  bool in_place = true; // copies may be taken out, which holds for arguments that are disjoint or begin together
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

// Sees each instruction just after it ran, and before the next is built.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void before(int core, const Instr& i) = 0;
  virtual void after(int core, const Instr& i, const double* scalars) = 0;
};

class Group {
 public:
  // `pointers`: the arguments' addresses. The memories belong to the caller: one for each core.
  Group(const Program& program, const Numerics& numerics, int64_t block, const std::vector<int64_t>& pointers,
        const std::vector<LocalMemories*>& memories);

  static int cores_of(const Program& p) { return (p.has_cube() ? 1 : 0) + p.vectors_per_group(); }
  // Runs until every core is done or waits for other groups; false when nothing could move. `keep`: collects the steps.
  bool advance(const Released& released, GroupSteps* keep);
  void observe(Observer* observer) { observer_ = observer; }
  bool done() const;
  bool overflow() const;
  std::string stuck() const;  // what each core waits for
  const std::vector<GroupCore>& cores() const { return cores_; }
  std::vector<Core*> states();

 private:
  bool move(int index, const Released& released);
  bool passes(GroupCore& core, const Released& released);
  bool take_global(GroupCore& core, int flag, const Released& released);
  void set_flag(int index, int64_t mode, int64_t flag);
  void build(int index, const Instr& i);
  void collect(int index, const Instr& i);
  void build_collected(int index, bool ends);
  void flush(int index);

  const Program& program_;
  const Numerics& numerics_;
  std::vector<Meaning> meanings_;
  std::vector<GroupCore> cores_;
  CrossFlags flags_;
  Steps scratch_;
  std::vector<Instr> collected_;  // since the core last waited; only while steps are kept
  Observer* observer_ = nullptr;
  GroupSteps* keep_ = nullptr;
  size_t begin_ = 0;
};

// The functions of a program's meanings, by opcode; null for what only orders others.
std::vector<Meaning> meanings_of(const Program& program);
// Throws std::invalid_argument where an instruction that orders others, or reads a scalar, lacks what it is read by.
void check_syncs(const Program& program);
// Throws std::out_of_range when an operand leaves its memory or argument: what a program was not proved for must not reach ours.
void check_bounds(const Program& program, const Instr& i);
// Where an operand lies in a core of scale 1, 4 or 8.
Place place_of(const Region& r, int64_t scale);

// What a GetValue reads: the value as an integer and as a real number.
struct Scalar {
  int64_t integer;
  double real;
};
Scalar read_scalar(const Program& program, const Core& core, const Instr& i, const Numerics& numerics);
Scalar load_scalar(const char* at, int held_format);

}  // namespace al::davinci
