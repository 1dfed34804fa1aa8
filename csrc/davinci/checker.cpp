#include "davinci/checker.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>

#include "davinci/checker_blocks.h"

namespace al::davinci {
namespace {

// Vector instructions some of whose operands may start at any element: alignment is theirs to check as they are traced.
constexpr std::string_view kAnyAlignment[] = {"reduce_repeat", "block_reduce", "reduce_all", "pair_reduce", "brcb"};
// Whose operands advance alike from repeat to repeat.
constexpr std::string_view kElementwise[] = {
    "add",        "sub", "mul", "div", "max", "min", "and", "or",   "add_relu", "sub_relu", "adds", "muls",        "maxs", "mins",
    "leaky_relu", "shl", "shr", "exp", "ln",  "abs", "rec", "sqrt", "rsqrt",    "relu",     "not",  "vector_copy", "cast"};
// Others whose result depends on their sources' elements in the same order, or as a whole.
constexpr std::string_view kPassOn[] = {"compare",       "compare_scalar",     "select", "mul_add_dst",
                                        "fused_mul_add", "fused_mul_add_relu", "axpy"};
constexpr std::string_view kOrderedUpdates[] = {"add", "sub", "mul", "max", "min", "add_relu", "sub_relu"};

bool listed(std::string_view word, const auto& list) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

std::vector<Traits> traits_of(const Program& program) {
  std::vector<Traits> all;
  for (const Declaration& d : program.declarations) {
    Traits t;
    t.unit_flag = d.unit_argument();
    t.mmad = d.meaning == "mmad";
    t.vector = d.pipe == kV && d.sync == kNoSync && d.meaning != "copy";
    t.elementwise = listed(d.meaning, kElementwise);
    if (t.elementwise || listed(d.meaning, kPassOn)) t.unwritten = Passes::kElements;
    if (d.meaning == "copy") t.unwritten = Passes::kBytes;
    if (d.meaning == "transpose") t.unwritten = Passes::kTransposed;
    t.any_alignment = listed(d.meaning, kAnyAlignment);
    t.ordered_updates = listed(d.meaning, kOrderedUpdates);
    all.push_back(t);
  }
  return all;
}

class Check {
 public:
  Check(const Program& program, int64_t blocks, const Limits& limits, const std::vector<int64_t>& storage,
        const std::vector<int64_t>& offset)
      : program_(program),
        blocks_(blocks),
        limits_(limits),
        storages_(storages_of(program, storage, offset)),
        traits_(traits_of(program)) {}

  CheckReport run() {
    bool flow = false;
    for (const CoreKind core : {kAIC, kAIV}) {
      const int32_t site = Ranges::flow_depends(program_, program_.code(core));
      if (site == Ranges::kSteady) continue;
      flow = true;
      Party decided;
      decided.core = static_cast<int8_t>(core), decided.site = site;
      note(kUnsupported, kDataDependentFlow, {}).parties.push_back(decided);
    }
    for (const Taken taken : {Taken::kLowest, Taken::kHighest, Taken::kTypical}) {
      if ((!flow && taken != Taken::kLowest) || !group_blocks(taken)) break;
      check_classes(taken);
      check_between(taken);
    }
    return std::move(report_);
  }

 private:
  Finding& note(int rule, int reason, std::vector<int64_t> numbers) {
    Finding f{rule, reason};
    f.numbers = std::move(numbers);
    report_.findings.push_back(std::move(f));
    return report_.findings.back();
  }

  // Blocks by what they run; false where one runs too long to be followed.
  bool group_blocks(Taken taken) {
    classes_.clear();
    std::map<uint64_t, size_t> known;
    walks_.assign(blocks_, {});
    for (int64_t b = 0; b < blocks_; ++b) {
      walk_block(program_, b, storages_, taken, nullptr, limits_.most_instructions, walks_[b]);
      if (walks_[b].stopped_at >= 0) {
        Party last;
        last.core = program_.has_cube() ? 0 : 1, last.site = walks_[b].stopped_at, last.block = b;
        note(kUnsupported, kTooLong, {}).parties.push_back(last);
        return false;
      }
      auto [it, made] = known.try_emplace(walks_[b].hash, classes_.size());
      if (made) classes_.push_back({});
      classes_[it->second].push_back(b);
      for (Finding& f : walks_[b].findings) merge(std::move(f));
    }
    report_.classes = static_cast<int64_t>(classes_.size());
    return true;
  }

  void check_classes(Taken taken) {
    const std::vector<char> followed = storages_.followed();
    checks_.clear();
    for (const auto& members : classes_) {
      checks_.push_back(std::make_unique<GroupCheck>(program_, members[0], limits_, traits_, storages_.of, storages_.offset,
                                                     followed, taken));
      GroupCheck& check = *checks_.back();
      check.run();
      take(check, members);
    }
    barriers();
  }

  void take(GroupCheck& check, const std::vector<int64_t>& members) {
    report_.instructions += check.instructions;
    for (int m = 0; m < kNumMemories; ++m) report_.used[m] = std::max(report_.used[m], check.used[m]);
    for (Finding& f : check.findings) {
      f.blocks = members;
      merge(std::move(f));
    }
  }

  // All blocks must come to a barrier of all cores equally often, and all must be on cores at the same time.
  void barriers() {
    for (size_t k = 0; k < checks_.size(); ++k) {
      auto count = [&](const GroupCheck& c, const Stream& s) {
        for (const Stream& o : c.streams)
          if (o.kind == s.kind && o.id == s.id) return static_cast<int64_t>(o.clocks.size());
        return int64_t{0};
      };
      for (const Stream& s : checks_[k]->streams) {
        const int64_t here = count(*checks_[k], s);
        for (size_t o = 0; o < checks_.size(); ++o)
          if (int64_t there = count(*checks_[o], s); there < here && k != o)
            return static_cast<void>(note(kDeadlock, kBlocksDiffer, {s.kind, s.id, classes_[k][0], here, classes_[o][0], there}));
      }
      if (!checks_[k]->streams.empty() && blocks_ > resident())
        return note(kResident, kPlain, {blocks_, resident()}).parties.push_back(*barrier_of_all(program_));
    }
  }

  int64_t resident() const {
    if (program_.kind == kVectorProgram) return limits_.cores[kAIV];
    return limits_.cores[kAIC];
  }

  void check_between(Taken taken) {
    std::vector<SharedAccess> all;
    std::vector<const GroupCheck*> of(blocks_);
    for (size_t k = 0; k < classes_.size(); ++k)
      for (int64_t b : classes_[k]) {
        of[b] = checks_[k].get();
        const bool phases = !checks_[k]->streams.empty();
        BlockWalk again;
        if (phases) walk_block(program_, b, storages_, taken, checks_[k].get(), limits_.most_instructions, again);
        auto& from = phases ? again.accesses : walks_[b].accesses;
        all.insert(all.end(), from.begin(), from.end());
        from = {};
      }
    std::vector<char> repeat(blocks_);
    std::vector<Finding> found;
    compare_blocks(storages_, all, of, found, repeat);
    for (Finding& f : found) merge(std::move(f));
    if (std::find(repeat.begin(), repeat.end(), 1) != repeat.end()) check_alone(repeat, taken);
  }

  // Blocks that write some bytes twice: with all that is written followed.
  void check_alone(const std::vector<char>& which, Taken taken) {
    for (int64_t b = 0; b < blocks_; ++b) {
      if (!which[b]) continue;
      GroupCheck check(program_, b, limits_, traits_, storages_.of, storages_.offset, storages_.written, taken);
      check.run();
      take(check, {b});
    }
  }

  // Into the report; what is known of other blocks gets these blocks too.
  void merge(Finding&& f) {
    for (Finding& o : report_.findings) {
      if (o.rule != f.rule || o.reason != f.reason || o.parties.size() != f.parties.size() || o.parties.empty()) continue;
      bool same = true;
      for (size_t p = 0; p < f.parties.size(); ++p)
        same = same && o.parties[p].site == f.parties[p].site && o.parties[p].core == f.parties[p].core &&
               o.parties[p].memory == f.parties[p].memory;
      if (!same) continue;
      std::vector<int64_t> all;
      std::set_union(o.blocks.begin(), o.blocks.end(), f.blocks.begin(), f.blocks.end(), std::back_inserter(all));
      o.blocks = std::move(all);
      o.count = std::max(o.count, f.count);
      return;
    }
    report_.findings.push_back(std::move(f));
  }

  const Program& program_;
  const int64_t blocks_;
  const Limits& limits_;
  const Storages storages_;
  const std::vector<Traits> traits_;
  std::vector<BlockWalk> walks_;
  std::vector<std::vector<int64_t>> classes_;
  std::vector<std::unique_ptr<GroupCheck>> checks_;
  CheckReport report_;
};

}  // namespace

CheckReport check(const Program& program, int64_t blocks, const Limits& limits, const std::vector<int64_t>& storage,
                  const std::vector<int64_t>& offset) {
  return Check(program, blocks, limits, storage, offset).run();
}

}  // namespace al::davinci
