// Runs a program in an order that the card might choose: pipes overlap, and what no flag or barrier orders happens in any order.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <random>

#include "davinci/group.h"

namespace al::davinci {

// kAny: any legal step. kLatest: an instruction takes effect only when something waits for it. kEarliest: as soon as it may.
enum Policy : int { kAny, kLatest, kEarliest };

class RandomOrder {
 public:
  // All local memories begin as NaN bits.
  RandomOrder(const Program& program, const Numerics& numerics, int64_t blocks, const std::vector<int64_t>& pointers, uint64_t seed, Policy policy);
  ~RandomOrder();
  // Runs to the end; whether a result overflowed. Throws on a deadlock.
  bool run();

 private:
  struct Task {
    Instr instr;
    Steps steps;
  };
  struct PipeState {
    std::deque<std::unique_ptr<Task>> queue;  // issued, in order
    std::deque<std::unique_ptr<Task>> flying; // started, not yet in effect
  };
  struct RandomCore {
    RandomCore(const Program& program, CoreKind k, int64_t b, int v, const std::vector<int64_t>& arguments)
        : kind(k), vector(v), block(b), walker(program, k, b, v, arguments) {}
    CoreKind kind;
    int vector;
    int64_t block;
    Walker walker;
    Core state;
    PipeState pipes[kNumPipes];
    bool flags[kNumPipes][kNumPipes][16] = {};
    std::map<int64_t, bool> unit;    // unit flags of L0C by first byte
    std::unique_ptr<Task> pending;   // what the scalar unit waits to issue
    bool counted = false;            // pending SyncAll has been counted
    Arrivals arrived;
    std::array<int, kFlagIds> waited{};
    bool ended = false;
  };

  bool act(RandomCore& core);
  bool issue(RandomCore& core);
  bool fetch(RandomCore& core);
  bool issue_scalar(RandomCore& core, const Instr& i);
  bool start(RandomCore& core, int pipe);
  bool finish(RandomCore& core, int pipe);
  bool finish_one(RandomCore& core, int pipe, size_t which);
  bool unit_ready(RandomCore& core, const Instr& i);
  void unit_done(RandomCore& core, const Instr& i);
  bool passes_global(RandomCore& core, const Instr& i);
  bool idle(const RandomCore& core) const;
  size_t pick(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  int place(const RandomCore& c) const { return c.kind == kAIC ? 0 : 1 + c.vector; }

  const Program& program_;
  Numerics numerics_;
  std::vector<Meaning> meanings_;
  std::mt19937_64 random_;
  Policy policy_;
  std::vector<BorrowedMemories> memories_;
  std::vector<std::unique_ptr<RandomCore>> cores_;
  std::vector<CrossFlags> flags_;  // by block
};

}  // namespace al::davinci
