#include "davinci/clock.h"

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "davinci/clock_core.h"
#include "davinci/pace.h"

namespace al::davinci {
namespace {

// All cores of a launch and what they share. Blocks beyond the chip's cores go to the groups that are free first.
class Launch final : public Exchange {
 public:
  Launch(const Program& program, const Model& model, L2& l2, const Request& request)
      : program_(program), m_(model), request_(request), costs_(program, model), fabric_(model, costs_, l2, request.bases, request.past_l2) {
    const int vectors = program.vectors_per_group();
    const double groups = program.kind == kVectorProgram ? m_.vector_cores : m_.cube_cores;
    groups_ = static_cast<int>(std::min<int64_t>(request.blocks, static_cast<int64_t>(groups)));
    for (int g = 0; g < groups_; ++g) {
      if (program.has_cube()) add(kAIC, g, 0);
      for (int v = 0; v < vectors; ++v) add(kAIV, g, v);
    }
    per_group_ = groups_ ? static_cast<int>(cores_.size()) / groups_ : 0;
    // Pictures show everything; blocks beyond the cores begin when others end, so that nothing is periodic.
    pace_.emplace(cores_.size(), !request.in_full && request.spans_of.empty() && request.blocks == groups_);
    recorded_.assign(cores_.size(), false);
    for (int c : request.spans_of)
      if (c >= 0 && c < static_cast<int>(cores_.size())) recorded_[c] = true;
  }

  void run() {
    for (int g = 0; g < groups_; ++g) give_block(g, m_.launch_ns + g * m_.launch_core_ns);
    settle();
    int64_t token;
    while (fabric_.engine.next(token)) {
      CoreClock& core = *cores_[static_cast<size_t>(token / 2 / kNumPipes)];
      core.copy_event(static_cast<int>(token / 2 % kNumPipes), token & 1);
      touched_.push_back(core.slot);
      settle();
    }
    check_all_done();
  }

  void cross_set(CoreClock& from, int mode, int id, double time) override {
    auto give = [&](int core, int sender) {
      cores_[core]->crossed[id][sender].push(time);
      woken_.push_back(core);
    };
    const int first = from.slot * per_group_, cube = program_.has_cube() ? 1 : 0;
    if (mode == 2 && from.kind == kAIC) {
      for (int v = 0; v < program_.vectors_per_group(); ++v) give(first + cube + v, 2);
    } else if (mode == 2) {
      give(first, from.sub);
    } else if (mode == 1) {
      if (program_.vectors_per_group() == 2) give(first + cube + 1 - from.sub, from.sub);
    } else {
      Round& round = rounds_[{from.kind, id}];
      round.latest = std::max(round.latest, time);
      if (++round.arrived < of_kind(from.kind)) return;
      for (const auto& core : cores_)
        if (core->kind == from.kind) cores_[core->index]->crossed[id][3].push(round.latest), woken_.push_back(core->index);
      round = {};
    }
  }

  std::optional<double> arrive(CoreClock& core, bool own_kind, double time) override {
    Meeting& meeting = meetings_[own_kind ? 1 + core.kind : 0];
    const int expected = own_kind ? of_kind(core.kind) : static_cast<int>(cores_.size());
    auto& state = waiting_[core.index];
    if (state.first == 0) {  // has not arrived yet
      state.first = 1, state.second = meeting.round;
      meeting.latest = std::max(meeting.latest, time + 2 * m_.cross_flag_ns);
      if (++meeting.arrived == expected) {
        meeting.released.push_back(meeting.latest);
        meeting.arrived = 0, meeting.latest = 0, ++meeting.round;
        for (const auto& other : cores_) woken_.push_back(other->index);
      }
    }
    if (state.second >= static_cast<int64_t>(meeting.released.size())) return std::nullopt;
    state.first = 0;
    return meeting.released[static_cast<size_t>(state.second)];
  }

  void wait_seen(CoreClock& core, double ns, int pipe, Cause cause, int32_t site) override {
    if (site >= sites_) {
      std::vector<double> more(static_cast<size_t>(2 * site + 16) * kWaitKinds);
      std::copy(waits_.begin(), waits_.end(), more.begin());
      waits_.swap(more), sites_ = 2 * site + 16;
    }
    waits_[static_cast<size_t>(site) * kWaitKinds + static_cast<size_t>((int(core.kind) * kNumPipes + pipe) * kNumCauses + cause)] += ns;
  }

  void round_began(CoreClock& core) override {
    const Pace::Event event = pace_->round_began(core);
    if (event == Pace::kAllBeyond) beyond_ = totals();
    if (event == Pace::kAllSteady) steady_ = totals(), seen_steady_ = true;
  }

  Timeline result() {
    Timeline t;
    const Totals all = all_totals();
    waits_ = all.waits;
    t.rounds_left_out = pace_->left_out();
    t.launch_ns = m_.launch_ns;
    t.total_ns = m_.launch_ns;
    for (const auto& core : cores_) {
      t.total_ns = std::max(t.total_ns, core->time.end);
      for (const PipeTime& p : core->time.pipes) t.instructions += p.instructions;
      t.cores.push_back(core->time);
    }
    for (size_t k = 0; k < waits_.size(); ++k)
      if (waits_[k] > 0) {
        const size_t what = k % kWaitKinds, pipe = what / kNumCauses;
        t.waits.push_back({static_cast<uint8_t>(pipe / kNumPipes), static_cast<uint8_t>(pipe % kNumPipes), static_cast<uint8_t>(what % kNumCauses), static_cast<int32_t>(k / kWaitKinds), waits_[k]});
      }
    std::sort(t.waits.begin(), t.waits.end(), [](const Wait& a, const Wait& b) {
      return a.ns != b.ns ? a.ns > b.ns : std::tie(a.kind, a.pipe, a.site, a.cause) < std::tie(b.kind, b.pipe, b.site, b.cause);
    });
    t.spans = std::move(spans_);
    double* const into[] = {&t.read_bytes, &t.written_bytes, &t.missed_bytes, &t.evicted_bytes, &t.hbm_bytes, &t.hbm_write_bytes, &t.l2_bytes};
    for (size_t k = 0; k < all.bytes.size(); ++k) *into[k] = all.bytes[k];
    return t;
  }

  // Whether the result holds for what was left out, too.
  bool exact() const { return pace_->exact() && (!pace_->left_out() || seen_steady_); }

  void span(CoreClock& core, int pipe, uint16_t opcode, int32_t site, double begin, double end) override {
    if (recorded_[core.index]) spans_.push_back({core.index, static_cast<uint8_t>(pipe), opcode, site, begin, end});
  }

 private:
  struct Round { int arrived = 0; double latest = 0; };
  struct Meeting { int arrived = 0; int64_t round = 0; double latest = 0; std::vector<double> released; };

  void add(CoreKind kind, int group, int sub) {
    cores_.push_back(std::make_unique<CoreClock>(program_, m_, costs_, fabric_, *this, kind, static_cast<int>(cores_.size()), group, sub));
    cores_.back()->free_barriers = request_.free_barriers;
    for (const auto& [source, destination] : request_.free_flags) cores_.back()->free_flags[source][destination] = true;
  }

  int of_kind(CoreKind kind) const {
    return static_cast<int>(std::count_if(cores_.begin(), cores_.end(), [&](const auto& c) { return c->kind == kind; }));
  }

  void give_block(int group, double time) {
    if (next_block_ >= request_.blocks) return;
    const int64_t block = next_block_++;
    for (int k = 0; k < per_group_; ++k) {
      cores_[group * per_group_ + k]->begin(block, time);
      woken_.push_back(group * per_group_ + k);
    }
  }

  bool group_done(int group) const {
    for (int k = 0; k < per_group_; ++k)
      if (!cores_[group * per_group_ + k]->finished()) return false;
    return true;
  }

  // Advances every core that something may have changed for; hands blocks to groups that are done.
  void settle() {
    do {
      while (!woken_.empty()) {
        std::vector<int> now;
        now.swap(woken_);
        for (int c : now) {
          cores_[c]->advance();
          touched_.push_back(cores_[c]->slot);
        }
      }
      std::vector<int> slots;
      slots.swap(touched_);
      for (int group : slots) {
        if (next_block_ >= request_.blocks || !group_done(group)) continue;
        double end = 0;
        for (int k = 0; k < per_group_; ++k) end = std::max(end, cores_[group * per_group_ + k]->end());
        give_block(group, end + m_.block_gap_ns);
      }
    } while (!woken_.empty());
  }

  void check_all_done() const {
    for (const auto& core : cores_)
      if (!core->finished())
        throw std::invalid_argument("clock: " + program_.name + " stands still; " + (core->kind == kAIC ? "AIC" : "AIV") + " " +
                                    std::to_string(core->slot) + ": " + core->waits_for() + "; check the kernel: a flag is never set");
  }

  // What all cores have together, so far.
  struct Totals { std::vector<double> waits; std::array<double, 7> bytes{}; };
  Totals totals() const {
    const events::Engine& e = fabric_.engine;
    return {waits_, {fabric_.read_bytes, fabric_.written_bytes, fabric_.missed_bytes, fabric_.evicted_bytes, e.delivered(fabric_.hbm),
                     e.delivered(fabric_.hbm_writes), e.delivered(fabric_.l2_port)}};
  }

  // With what happened in the rounds that were left out.
  Totals all_totals() {
    Totals all = totals();
    if (!pace_->left_out()) return all;
    const double times = pace_->windows();
    for (size_t k = 0; k < steady_.waits.size(); ++k) all.waits[k] += (steady_.waits[k] - (k < beyond_.waits.size() ? beyond_.waits[k] : 0)) * times;
    for (size_t k = 0; k < all.bytes.size(); ++k) all.bytes[k] += (steady_.bytes[k] - beyond_.bytes[k]) * times;
    for (const auto& core : cores_) pace_->extend(core->time, core->index);
    return all;
  }

  const Program& program_;
  const Model& m_;
  const Request& request_;
  Costs costs_;
  Fabric fabric_;
  std::vector<std::unique_ptr<CoreClock>> cores_;
  std::optional<Pace> pace_;
  bool seen_steady_ = false;
  Totals beyond_, steady_;  // when all cores had passed the gap, and a window later
  int groups_ = 0, per_group_ = 0;
  int64_t next_block_ = 0;
  std::vector<int> woken_, touched_;
  std::map<std::pair<int, int>, Round> rounds_;
  std::map<int, Meeting> meetings_;
  std::map<int, std::pair<int, int64_t>> waiting_;
  static constexpr size_t kWaitKinds = 2 * kNumPipes * kNumCauses;
  std::vector<double> waits_;  // by site, then kind of core, pipe and cause
  int32_t sites_ = 0;
  std::vector<bool> recorded_;
  std::vector<Span> spans_;
};

}  // namespace

Timeline schedule(const Program& program, const Model& model, L2& l2, const Request& request) {
  if (request.blocks < 0) throw std::invalid_argument("clock: " + std::to_string(request.blocks) + " blocks");
  if (request.bases.size() != program.tensor_bytes.size() || request.past_l2.size() != program.tensor_bytes.size())
    throw std::invalid_argument("clock: " + program.name + " has " + std::to_string(program.tensor_bytes.size()) + " arguments, but " + std::to_string(request.bases.size()) + " addresses came");
  for (const auto& [source, destination] : request.free_flags)
    if (source < 0 || source >= kNumPipes || destination < 0 || destination >= kNumPipes)
      throw std::invalid_argument("clock: flags from pipe " + std::to_string(source) + " to " + std::to_string(destination) + "; pipes are 0.." + std::to_string(kNumPipes - 1));
  const bool may_skip = !request.in_full && (!program.cube.empty() || !program.vector.empty());
  std::optional<L2> before;
  if (may_skip) before = l2;
  Launch launch(program, model, l2, request);
  launch.run();
  if (launch.exact()) return launch.result();
  l2.restore(*before);
  Request full = request;
  full.in_full = true;
  return schedule(program, model, l2, full);
}

}  // namespace al::davinci
