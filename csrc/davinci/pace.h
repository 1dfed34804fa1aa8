// Finds out when the rounds of a launch's outermost loops have become alike, leaves most of the rest out, and says what to add for
// them. Rounds are looked at in windows, which show what pipes can do as the scalar unit waits for room in their queues; what is left
// out is paid with the mean of the windows around it.
#pragma once
#include <array>
#include <vector>

#include "davinci/clock_core.h"

namespace al::davinci {

class Pace {
 public:
  Pace(size_t cores, bool on) : on_(on && cores > 0), cores_(cores) {}

  enum Event { kNothing, kAllBeyond, kAllSteady };  // every core has left the gap behind; and has one more window behind it
  Event round_began(CoreClock& core);
  int64_t left_out() const { return gap_; }  // rounds of each core; 0: none
  // Whether the windows on both sides of the gap are alike; if not, the launch must be timed in full.
  bool exact() const;
  // How often a window's worth comes again in the gap.
  double windows() const { return static_cast<double>(gap_) / static_cast<double>(kStep * span_); }
  // Adds the time of the gap to a core's own.
  void extend(CoreTime& time, int core) const;

 private:
  static constexpr int64_t kStep = 6, kGrain = 24;  // rounds; kGrain: a multiple of the numbers of buffers that kernels take in turn
  static constexpr int64_t kMost = 128;             // instructions of a pipe a window, at least: a queue's worth must not show
  static constexpr double kAlike = 0.005, kEven = 0.06, kExact = 0.02;

  using Pipes = std::array<PipeTime, kNumPipes>;
  struct Mark {
    double at;
    Pipes pipes;
  };
  struct Track {
    int64_t loop = -1, first = 0;
    int64_t left = 0;  // rounds, seen at the last mark
    std::vector<Mark> marks;  // one every kStep rounds
  };

  void look();
  double sum(size_t from, size_t to) const;
  static int64_t instructions(const Mark& a, const Mark& b);
  size_t steps_a_window() const;

  bool on_;
  std::vector<Track> cores_;
  size_t span_ = 0;  // marks from the begin of a window to its end
  size_t at_ = 0;    // mark at which every core leaves rounds out; 0: not yet known
  int64_t gap_ = 0;
};

}  // namespace al::davinci
