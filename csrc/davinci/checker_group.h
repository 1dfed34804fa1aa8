// Replays one group (the cube core and its vector cores) in an order that queues and flags allow, with a clock for every pipe.
#pragma once
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "davinci/checker.h"
#include "davinci/checker_range.h"
#include "davinci/checker_shadow.h"
#include "davinci/checker_span.h"

namespace al::davinci {

constexpr int kCores = 3;
constexpr int kWaits = 7;        // of a core's eight numbers: how many waits its scalar unit is known to have passed
constexpr int kMostStreams = 8;  // barriers of all cores (SyncAll, mode 0), by kind and id
constexpr int kClockSize = kPipesOfGroup + kMostStreams;
constexpr int kEvents = 16;  // ids that are followed; those from 8 on are reported (R05)
constexpr int kCrossIds = 16;

// What is known to be complete: per pipe of the group the last instruction, per stream the number of barriers.
struct Clock {
  std::array<uint32_t, kClockSize> at{};
  void join(const Clock& o) {
    for (int i = 0; i < kClockSize; ++i) at[i] = at[i] > o.at[i] ? at[i] : o.at[i];
  }
};

inline int slot_of(int core, int pipe) { return core * 8 + pipe; }

// How an instruction's result comes of bytes that nothing wrote: not at all (reading them is an error), element by element, byte
// by byte.
enum class Passes : uint8_t { kNever, kElements, kBytes, kTransposed };

// What the checker must know of an instruction beyond its footprint and its sync.
struct Traits {
  int unit_flag = -1;  // argument that holds it
  bool mmad = false, vector = false, elementwise = false, any_alignment = false;
  Passes unwritten = Passes::kNever;
  bool ordered_updates = false;  // Add, Sub, Mul, Max, Min: a repeat may read what an earlier one wrote
};

struct Flag {
  bool set = false;
  uint32_t set_by = 0, waited = 0;  // number of the last set on its pipe; of the last wait (of S: among its waits)
  Clock clock;
};

struct Pending {
  Instr instr;
  std::array<Span, kMaxRegions> spans;  // no bytes: the region is empty or wrong
  uint64_t widened = 0;                 // bit of a region
  uint32_t scalar_version = 0;          // of S's clock when it was issued
  int64_t index = 0;                    // among the core's instructions
};

struct CoreState {
  CoreState(const Program& program, CoreKind k, int i, int64_t block, int64_t sub)
      : kind(k), index(i), walker(program, k, block, sub), ranges(program) {}
  CoreKind kind;
  int index;  // in the group
  Walker walker;
  Ranges ranges;
  std::array<Clock, 7> clock;
  std::array<uint32_t, 7> count{};            // instructions so far
  std::array<uint32_t, 7> joined{};           // the version of S's clock that a pipe knows
  std::array<std::vector<int32_t>, 7> sites;  // of each instruction, for reports
  std::array<std::deque<Pending>, 7> queue;
  std::array<LocalShadow, kNumMemories> shadow;
  std::vector<Flag> flags;                         // [source][destination][event]
  std::vector<Clock> scalar_clock{Clock{}};        // S's, by version
  std::array<uint32_t, kCrossIds> stream_waits{};  // mode 0 waits by id
  uint32_t waits = 0;                              // that S has passed
  std::array<uint32_t, 2> syncs{};                 // SyncAlls passed: of all cores, of this kind
  bool arrived = false;                            // at the SyncAll that holds it
  int queued = 0;
  bool ended = false, holding = false;
  Pending current;                // holding: it could not be issued, and holds all that follow
  std::vector<uint32_t> unit_set;  // by block of L0C: the number of the Mmad that filled it, 0 for an empty one
  int64_t walked = 0;
  Flag& flag(int source, int destination, int event) { return flags[(source * 7 + destination) * kEvents + event]; }
};

// One access to GM of this class of blocks, by its place in the core's instructions: what orders it among blocks.
struct Phase {
  std::array<uint32_t, kMostStreams> passed{};    // barriers before it
  std::array<uint32_t, kMostStreams> complete{};  // the first barrier that knows it complete
  auto operator<=>(const Phase&) const = default;
};

struct Touch {
  int core, pipe;
  uint32_t ticket;
  bool read, write, atomic, maybe, unit, small, scalar_read;
  const Region* region;
  const Instr* instr;
};

// Sets of one (destination, id, mode, source), and the waits that took them.
struct CrossQueue {
  std::deque<Clock> sets;
  int64_t total = 0;
  int last_slot = 0;  // who set last
  uint32_t last = 0;
};

struct Stream {
  int kind;                   // CoreKind, or 2 for both
  int id;                     // -1: SyncAll
  std::vector<Clock> clocks;  // of each barrier: what it knows complete
  std::vector<int> arrived;   // cores that have come to it
};

// The first statement at which the code may wait for all cores: SyncAll, or a flag of mode 0.
std::optional<Party> barrier_of_all(const Program& program);

class GroupCheck {
 public:
  GroupCheck(const Program& program, int64_t block, const Limits& limits, const std::vector<Traits>& traits,
             const std::vector<int64_t>& storage, const std::vector<int64_t>& offset, const std::vector<char>& tracked,
             Taken taken);
  void run();

  std::vector<Finding> findings;
  std::vector<Stream> streams;
  int64_t instructions = 0;
  int64_t used[kNumMemories] = {};
  // By core, for each of its instructions: the index in `phases` of its accesses; filled if the program has barriers of all
  // cores.
  std::vector<std::vector<int32_t>> phase_of;
  std::vector<Phase> phases;

 private:
  // checker_group.cpp
  bool advance(CoreState& c);
  bool drain(CoreState& c);
  void fetch(CoreState& c);
  bool execute(CoreState& c, Pending& p);
  bool operate(CoreState& c, Pending& p);
  void inherit(CoreState& c, int pipe, uint32_t version);
  void scalar_advanced(CoreState& c);
  void record_phase(CoreState& c, const Pending& p, int pipe, uint32_t ticket);
  void finish_phases();

  // checker_memory.cpp
  void touch(CoreState& c, const Touch& a, const Span& s);
  void touch_local(CoreState& c, const Touch& a, const Span& s);
  void read_unwritten(CoreState& c, const Touch& a, LocalSegment& g);
  void touch_shared(CoreState& c, Touch a, const Span& s);
  void shared_hazards(CoreState& c, const Touch& a, int64_t low, const SharedSegment& g);
  static void update_shared(const CoreState& c, const Touch& a, SharedSegment& g);
  static void clean_segment(const CoreState& c, const Touch& a, SharedSegment& g);
  bool unit_ready(CoreState& c, const Pending& p, uint32_t ticket);
  void pass_on_unwritten(CoreState& c, const Pending& p, Passes passes);  // checker_unwritten.cpp
  void hazard(CoreState& c, const Touch& a, int other, uint32_t ticket, int64_t low, int64_t high);
  bool ordered(const CoreState& c, const Touch& a, int other, uint32_t ticket, uint8_t flags) const;
  int rule_of(const CoreState& c, const Touch& a, int other) const;

  // checker_sync.cpp
  bool synchronise(CoreState& c, Pending& p);
  bool set_flag(CoreState& c, Pending& p);
  bool wait_flag(CoreState& c, Pending& p);
  bool barrier(CoreState& c, Pending& p);
  bool cross_set(CoreState& c, Pending& p);
  bool cross_wait(CoreState& c, Pending& p);
  bool sync_all(CoreState& c, Pending& p);
  void complete_all(CoreState& c);
  void passed_wait(CoreState& c);
  std::vector<int> sources(const CoreState& c, int mode) const;
  CrossQueue& cross(int destination, int id, int mode, int source) {
    return cross_[((destination * kCrossIds + id) * 3 + mode) * kCores + source];
  }
  int stream(int kind, int id);
  void arrive(Stream& s, size_t generation, const Clock& clock);
  void counter(CoreState& c, const Pending& p, int destination, int64_t sets, int id);
  static uint32_t next_ticket(CoreState& c, const Instr& i);

  // checker_end.cpp
  std::array<int64_t, 6> waits_for(CoreState& c, const Pending& p);
  void deadlock();
  void leftovers();

  // checker_limits.cpp
  void limits(CoreState& c, Pending& p);
  void vector_limits(CoreState& c, const Pending& p, const Traits& t);
  void partial_overlap(CoreState& c, const Pending& p, const Traits& t);

  // checker_report.cpp
  void report(int rule, int reason, CoreState& c, const Instr& i, int region, int other = -1, uint32_t ticket = 0,
              int64_t low = 0, int64_t high = 0, std::vector<int64_t> numbers = {});
  void report_end(int rule, int reason, int slot, uint32_t ticket, std::vector<int64_t> numbers);
  void look_up(Finding& f, size_t finding, int slot, uint32_t ticket);
  Party party(const CoreState& c, const Instr& i, int region) const;
  void resolve();
  struct Earlier {
    size_t finding, party;
    int slot;
    uint32_t ticket;
  };
  void fill(const CoreState& c, const Instr& i, const Earlier& e);
  void declare(const Instr& i, Walker& walker, Ranges& ranges) const;
  const CoreState& core_at(int index) const { return cores_[program_.has_cube() ? index : index - 1]; }

  const Program& program_;
  const int64_t block_;
  const Limits& limits_;
  const std::vector<Traits>& traits_;
  const std::vector<int64_t>&storage_, &offset_;
  const std::vector<char>& tracked_;  // storages that must be followed in the group
  const Taken taken_;                 // by scalars that decide the flow
  const bool has_streams_;
  struct Unwritten {
    int region;
    int64_t low, high;
  };
  std::vector<Unwritten> unwritten_;  // that the instruction at hand reads and may pass on
  bool running_ = false;              // the instruction at hand has its number already
  std::vector<CoreState> cores_;
  std::vector<SharedShadow> shared_;
  std::vector<CrossQueue> cross_;
  std::vector<std::vector<uint32_t>> cross_waits_;  // [destination][id]: waits passed, as numbers of the destination's waits
  std::map<std::tuple<int, int, int32_t, int32_t, int>, size_t> known_;   // findings by rule, reason, both sites, memory
  std::vector<Earlier> earlier_;                                          // parties to look up
  std::vector<std::tuple<int, int64_t, int, uint32_t, Clock>> accesses_;  // core, index, slot, ticket, clock at issue
};

constexpr size_t kMostFindings = 200;

}  // namespace al::davinci
