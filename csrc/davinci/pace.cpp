#include "davinci/pace.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace al::davinci {

Pace::Event Pace::round_began(CoreClock& core) {
  if (!on_) return kNothing;
  Track& t = cores_[static_cast<size_t>(core.index)];
  const Walker& walker = core.walker();
  if (walker.outer_loops() != t.loop) {
    if (at_) return kNothing;  // a loop after the one that was cut
    t = {walker.outer_loops(), walker.rounds(), 0, {}};
    span_ = 0;
  }
  const int64_t round = walker.rounds() - t.first;
  if (at_ && round == static_cast<int64_t>(at_) * kStep - 1) core.skip_rounds(gap_);
  if (round % kStep) return kNothing;
  Mark mark{core.now(), {}};
  std::copy(std::begin(core.time.pipes), std::end(core.time.pipes), mark.pipes.begin());
  t.marks.push_back(mark);
  t.left = walker.rounds_left();
  if (!at_) {
    look();
    return kNothing;
  }
  const size_t mine = t.marks.size();
  if (mine != at_ + 1 && mine != at_ + span_ + 1) return kNothing;
  const bool all = std::all_of(cores_.begin(), cores_.end(), [&](const Track& o) { return o.marks.size() >= mine; });
  return !all ? kNothing : mine == at_ + 1 ? kAllBeyond : kAllSteady;
}

// So many that the busiest pipe of every core has its kMost instructions.
size_t Pace::steps_a_window() const {
  int64_t steps = 1;
  for (const Track& t : cores_) {
    int64_t most = 1;
    for (int p = 0; p < kNumPipes; ++p) most = std::max(most, t.marks[1].pipes[p].instructions - t.marks[0].pipes[p].instructions);
    steps = std::max(steps, (kMost + most - 1) / most);
  }
  return static_cast<size_t>(steps);
}

int64_t Pace::instructions(const Mark& a, const Mark& b) {
  int64_t n = 0;
  for (int p = 0; p < kNumPipes; ++p) n += b.pipes[p].instructions - a.pipes[p].instructions;
  return n;
}

double Pace::sum(size_t from, size_t to) const {
  double all = 0;
  for (const Track& t : cores_) all += t.marks[to].at - t.marks[from].at;
  return all;
}

// Decides once two windows of all cores, after one to begin with, were alike.
void Pace::look() {
  size_t least = std::numeric_limits<size_t>::max(), most = 0;
  int64_t rounds = std::numeric_limits<int64_t>::max();  // of the core that has the fewest
  for (const Track& t : cores_) {
    least = std::min(least, t.marks.size()), most = std::max(most, t.marks.size());
    if (!t.marks.empty()) rounds = std::min(rounds, t.left + 1 + static_cast<int64_t>(t.marks.size() - 1) * kStep);
  }
  if (least < 2) return;
  if (!span_) span_ = steps_a_window();
  if (least < 3 * span_ + 1) return;
  const size_t last = least - 1;
  const double before = sum(last - 2 * span_, last - span_), now = sum(last - span_, last), mean = now / static_cast<double>(cores_.size());
  if (std::fabs(now - before) > kAlike * now) return;
  for (const Track& t : cores_) {
    const Mark *a = &t.marks[last - 2 * span_], *b = &t.marks[last - span_], *c = &t.marks[last];
    if (std::fabs(c->at - b->at - mean) > kEven * mean || instructions(*a, *b) != instructions(*b, *c)) return;
  }
  const size_t at = most + 1;  // no core has come near it yet
  const int64_t room = rounds - static_cast<int64_t>(at + 2 * span_ + 1) * kStep;  // two windows stay behind the gap
  const int64_t gap = room / kGrain * kGrain;
  if (gap > 0) at_ = at, gap_ = gap;
}

bool Pace::exact() const {
  if (!gap_) return true;
  for (const Track& t : cores_)
    if (t.marks.size() < at_ + span_ + 1 || instructions(t.marks[at_ - span_], t.marks[at_]) != instructions(t.marks[at_], t.marks[at_ + span_])) return false;
  const double before = sum(at_ - span_, at_), after = sum(at_, at_ + span_);
  return std::fabs(after - before) <= kExact * before;
}

void Pace::extend(CoreTime& time, int core) const {
  if (!gap_) return;
  const Track& t = cores_[static_cast<size_t>(core)];
  const Mark &a = t.marks[at_ - span_], &b = t.marks[at_ + span_];
  const double times = windows() / 2;  // a and b are two windows apart
  time.end += (b.at - a.at) * times;
  for (int p = 0; p < kNumPipes; ++p) {
    PipeTime& into = time.pipes[p];
    const PipeTime &from = a.pipes[p], &to = b.pipes[p];
    auto add = [&](auto member) { into.*member += (to.*member - from.*member) * times; };
    add(&PipeTime::busy), add(&PipeTime::contended), add(&PipeTime::conflicts), add(&PipeTime::work);
    for (int c = 0; c < kNumCauses; ++c) into.stall[c] += (to.stall[c] - from.stall[c]) * times;
    into.instructions += static_cast<int64_t>(std::llround(static_cast<double>(to.instructions - from.instructions) * times));
  }
}

}  // namespace al::davinci
