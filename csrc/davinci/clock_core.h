// One core in time: its scalar unit issues in program order, its pipes work in their own order, flags tie them together.
// A time is computed as soon as all that it depends on is known; only copies need the event engine.
#pragma once
#include <array>
#include <map>
#include <optional>

#include "davinci/clock.h"
#include "davinci/fabric.h"
#include "davinci/fifo.h"

namespace al::davinci {

class CoreClock;

// What cores of a launch tell each other.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void cross_set(CoreClock& from, int mode, int id, double time) = 0;
  // The time at which all have arrived, once that is known.
  virtual std::optional<double> arrive(CoreClock& core, bool own_kind, double time) = 0;
  virtual void wait_seen(CoreClock& core, double ns, int pipe, Cause cause, int32_t site) = 0;
  virtual void round_began(CoreClock& core) = 0;  // of its outermost loop
  virtual void span(CoreClock& core, int pipe, uint16_t opcode, int32_t site, double begin, double end) = 0;
};

class CoreClock {
 public:
  CoreClock(const Program& program, const Model& model, const Costs& costs, Fabric& fabric, Exchange& exchange, CoreKind kind, int index, int slot, int sub);

  void begin(int64_t block, double time);
  void advance();                 // as far as known times allow
  void copy_event(int pipe, bool started);  // of the engine: a copy is due, or its bytes have moved
  bool finished() const { return !walker_.has_value() || (walker_done_ && idle()); }
  double end() const;
  const Walker& walker() const { return *walker_; }
  void skip_rounds(int64_t rounds) { walker_->skip(rounds); }
  double now() const { return scalar_; }  // of the scalar unit
  std::string waits_for() const;  // for the message when nothing moves any more

  const CoreKind kind;
  const int index, slot, sub;
  CoreTime time;
  // Cross-core flags not yet taken, by id and sender: 0, 1: a vector core of the group, 2: its cube core, 3: all of the kind.
  std::map<int, std::array<Fifo<double>, 4>> crossed;
  int vectors = 0;  // in its group
  bool free_flags[kNumPipes][kNumPipes] = {};  // what-if: never waited for
  bool free_barriers = false;

 private:
  struct Op {
    Cost cost;
    Region global;         // of a copy
    double issued = 0, held_until = 0;  // held_until: the scalar unit's last wait
    Cause held_by = kIssueCause;
    int32_t site = 0, held_site = 0;
    uint16_t opcode = 0;
    uint8_t sync = kNoSync;
    int64_t a = 0, b = 0;
    int8_t unit = 0;       // unit flag; `fresh`: first Mmad on its part of L0C
    bool fresh = false;
    int64_t unit_base = 0, fixes = 0;
  };
  struct PipeState {
    Fifo<Op> queue;
    double free = 0, done = 0, gate = 0, seen = 0;  // seen: end of the time already counted as busy
    Cause gate_cause = kStartCause;
    int32_t gate_site = 0;
    bool in_flight = false;
    double began = 0;
    Flow flow;
    std::vector<double> starts;  // of the last queue_depth ones
    int64_t pushed = 0, popped = 0;
  };
  struct UnitState {  // hand-over of a part of L0C by unit flags
    Fifo<std::pair<double, double>> finished;  // last Mmads: begin, end
    int64_t fixes_issued = 0, fixes_done = 0;
    double fix_end = 0;
  };

  bool idle() const;
  Fifo<double>& flag(int64_t source, int64_t destination, int64_t id);
  bool issue();
  bool issue_scalar(const Instr& i);
  bool take_cross(int id);
  bool push(const Instr& i);
  void hold(double until, Cause cause, int32_t site);
  bool drain(int pipe);
  bool step_sync(int pipe, Op& op);
  bool ready(int pipe, Op& op, double& start, double& not_before);
  void hand_over(int pipe, const Op& op, double start, double end);
  void pop(PipeState& p, double start);
  void account(int pipe, const Op& op, double start);
  void finish(int pipe, const Op& op, double start, double end);
  void start_copy(int pipe);
  int64_t token(int pipe, bool start) const { return (static_cast<int64_t>(index) * kNumPipes + pipe) * 2 + (start ? 1 : 0); }

  const Program& program_;
  const Model& m_;
  const Costs& costs_;
  Fabric& fabric_;
  Exchange& exchange_;
  std::optional<Walker> walker_;
  bool walker_done_ = true, pending_ = false, arrived_ = false;
  Instr next_;
  int64_t rounds_ = 0;
  double scalar_ = 0;  // when the scalar unit is free
  double held_until_ = 0;
  Cause held_by_ = kStartCause;
  int32_t held_site_ = 0;
  int64_t cached_line_ = -1;
  std::array<PipeState, kNumPipes> pipes_;
  static constexpr int kFlags = 16;  // ids between two pipes
  Fifo<double> flags_[kNumPipes][kNumPipes][kFlags];  // times of set flags by source, destination and id
  std::map<int64_t, UnitState> units_;
};

}  // namespace al::davinci
