// What all cores share: the memory, its cache and the ways to them. Turns a copy into a flow of the event engine.
#pragma once
#include <map>
#include <tuple>
#include <vector>

#include "davinci/costs.h"
#include "davinci/events.h"
#include "davinci/l2.h"

namespace al::davinci {

struct Flow {
  double latency = 0;   // ns from its last byte on the way until it is there
  double alone = 0;     // ns that it would take without others
  double least = 0;     // ns that its rows take however fast memory is
};

class Fabric {
 public:
  Fabric(const Model& model, const Costs& costs, L2& l2, std::vector<int64_t> bases, std::vector<bool> past_l2);
  // Starts the copy of a core now; the engine gives `token` when its bytes have moved.
  Flow start(const Region& region, const Cost& cost, int core, int64_t token);

  events::Engine engine;
  int hbm, hbm_writes, l2_port;  // resources
  double read_bytes = 0, written_bytes = 0, missed_bytes = 0, evicted_bytes = 0;

 private:
  struct Reads { int64_t ordinal = 0, block = 0; uint64_t slot = 0; };           // a core's last copy
  struct Meeting { int64_t ordinal = 0, block = 0; int cores = 0; };             // of cores at the same lines with the same copy
  using Key = std::tuple<int, int, int, int64_t>;  // path, share missed, memory bytes a byte, limit
  int flow_class(Path path, double missed, double memory, double limit, bool around);
  int crowd(int core, int64_t block);
  double port_rate(Path path, double missed) const;

  const Model& m_;
  const Costs& costs_;
  L2& cache_;
  std::vector<int64_t> bases_;
  std::vector<bool> past_l2_;
  std::map<Key, int> classes_;
  static constexpr uint64_t kMeetings = 1 << 16;
  std::vector<Meeting> meetings_;
  std::vector<Reads> reads_;
};

}  // namespace al::davinci
