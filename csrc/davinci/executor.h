// Runs a program's blocks: alone, or in phases where they meet; on several threads with the same bytes.
#pragma once
#include <atomic>
#include <map>
#include <mutex>

#include "davinci/group.h"

namespace al::davinci {

struct Launch {
  int64_t blocks;
  const std::vector<int64_t>& pointers;  // address of each GM argument, then the bits of the launch's parameters
  Numerics numerics;
  bool one_thread = false;
};

// Runs groups that wait for each other to their end. `keep`: collects their steps.
void run_phases(const Program& program, std::vector<Group>& groups, std::vector<GroupSteps>* keep, bool one_thread);

class Executor {
 public:
  explicit Executor(std::shared_ptr<const Program> program);
  // Returns whether a result overflowed (kSaturate only: INF/NAN mode shows overflow in the data). Throws what a meaning throws.
  bool run(const Launch& launch);
  // Whether such a launch ran to its end before: nothing is left to go wrong but what the values tell.
  bool proven(const Launch& launch);
  const Program& program() const { return *program_; }

 private:
  using Cached = std::vector<GroupSteps>;
  using Key = std::vector<int64_t>;  // mode, options, blocks, arguments overlap in part, parameters

  Key key(const Launch& launch) const;
  bool replay(const Launch& launch, const Cached& groups) const;
  bool run_apart(const Launch& launch, Cached* keep) const;
  bool run_in_phases(const Launch& launch, Cached* keep) const;
  void keep_if_small(const Key& key, Cached&& groups);

  std::shared_ptr<const Program> program_;
  int cores_;
  bool meets_ = false;   // groups wait for each other
  bool atomics_ = false; // groups add to the same bytes: their order must not depend on threads
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Cached>> cached_;
  std::atomic<bool> ended_{false};  // a program that reads scalars ran to its end
};

}  // namespace al::davinci
