#include "davinci/checker_blocks.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace al::davinci {
namespace {

constexpr int64_t kMostPairs = 20'000'000;

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
  return hash ^ hash >> 29;
}

uint64_t hash_region(uint64_t h, const Region& r, const Storages& st, std::vector<int64_t>& origin) {
  int64_t base = r.base;
  if (r.memory == kGM && r.tensor >= 0 && r.tensor < static_cast<int>(st.of.size())) {
    const int64_t s = st.of[r.tensor];
    base = 0;
    if (st.written[s] && st.read[s]) {  // where it works matters within the block: relative to the first place
      const uint64_t place = static_cast<uint64_t>(r.base) + static_cast<uint64_t>(st.offset[r.tensor]);
      if (origin[s] == INT64_MIN) origin[s] = static_cast<int64_t>(place);
      base = static_cast<int64_t>(place - static_cast<uint64_t>(origin[s]));
    }
  }
  h = mix(h, static_cast<uint64_t>(r.memory) | r.access << 8 | r.dtype << 16 |
                 static_cast<uint64_t>(static_cast<uint16_t>(r.tensor)) << 24);
  h = mix(mix(h, static_cast<uint64_t>(base)), static_cast<uint64_t>(r.bytes | r.lead << 32));
  for (int d = 0; d < r.ndim; ++d) h = mix(mix(h, static_cast<uint64_t>(r.count[d])), static_cast<uint64_t>(r.stride[d]));
  return h;
}

// One core's walk: collects what walk_block asks for.
class CoreWalk {
 public:
  CoreWalk(const Program& program, const Storages& storages, const GroupCheck* phases, Taken taken, int64_t most, BlockWalk& out)
      : program_(program),
        storages_(storages),
        phases_(phases),
        taken_(taken),
        most_(most),
        out_(out),
        origin_(storages.written.size(), INT64_MIN) {}

  void run(CoreKind kind, int core, int64_t block, int64_t sub) {
    Walker walker(program_, kind, block, sub);
    Ranges ranges(program_);
    Instr i;
    for (int64_t index = 0; walker.next(i); ++index) {
      if (index >= most_) {
        out_.stopped_at = i.site;
        return;
      }
      uint64_t widened = 0;
      bool vary;
      if (ranges.concerns(walker)) widened = ranges.widen(walker, i, vary);
      uint64_t h = mix(out_.hash, static_cast<uint64_t>(i.opcode) | i.pipe << 16 | static_cast<uint64_t>(i.site) << 32);
      for (int r = 0; r < i.nregions; ++r) {
        h = hash_region(h, i.regions[r], storages_, origin_);
        if (i.regions[r].memory == kGM) collect(i, r, widened >> r & 1, core, block, index);
      }
      for (int a = 0; a < i.nargs; ++a) h = mix(h, static_cast<uint64_t>(i.args[a]));
      out_.hash = h;
      if (i.sync == kGetValue && i.nargs > 2 && i.args[0] >= 0 && i.args[0] < program_.scalars) {
        const int64_t value = taken_value(i, taken_);
        ranges.declare(i, taken_);
        walker.set_scalar(static_cast<int>(i.args[0]), value, static_cast<double>(value));
      }
    }
  }

 private:
  void collect(const Instr& i, int r, bool widened, int core, int64_t block, int64_t index) {
    const Region& g = i.regions[r];
    Span s;
    if (g.tensor < 0 || g.tensor >= static_cast<int>(program_.tensor_bytes.size()) || normalise(g, s) == Shape::kEmpty) return;
    const int64_t size = program_.tensor_bytes[g.tensor];
    if (normalise(g, s) == Shape::kWild || s.base < 0 || s.end() > size) {
      out_of_bounds(i, r, s, core, block, size);
      return;
    }
    const int64_t storage = storages_.of[g.tensor];
    if (!storages_.written[storage] || i.sync == kCacheClean) return;
    s.base += storages_.offset[g.tensor];
    SharedAccess a{s,
                   static_cast<int32_t>(block),
                   static_cast<int32_t>(storage),
                   -1,
                   static_cast<int8_t>(core),
                   (g.access & (kWrite | kAtomic)) != 0,
                   (g.access & kAtomic) != 0,
                   widened,
                   i.pipe,
                   i.site,
                   index};
    if (phases_ && index < static_cast<int64_t>(phases_->phase_of[core].size())) a.phase = phases_->phase_of[core][index];
    auto& all = out_.accesses;
    if (widened && said_before(a)) return;
    const bool continues = !all.empty() && !s.ndim && !all.back().span.ndim && all.back().span.end() == s.base &&
                           all.back().storage == storage && all.back().write == a.write && all.back().atomic == a.atomic &&
                           all.back().phase == a.phase && all.back().core == core;
    if (continues)
      all.back().span.bytes += s.bytes;
    else
      all.push_back(a);
  }

  // A scatter of n rows touches "any of the tensor" n times: one access says it for all of them.
  bool said_before(const SharedAccess& a) {
    const uint64_t place = mix(mix(static_cast<uint64_t>(a.span.base), static_cast<uint64_t>(a.span.bytes)), static_cast<uint64_t>(a.storage));
    const uint64_t who = mix(static_cast<uint64_t>(a.site) << 8 | static_cast<uint64_t>(a.core), static_cast<uint64_t>(a.phase));
    auto& all = out_.accesses;
    auto [it, made] = widened_.try_emplace(mix(place, who), all.size());
    if (made) return false;
    SharedAccess& o = all[it->second];
    if (!(o.span == a.span) || o.storage != a.storage || o.site != a.site || o.core != a.core || o.phase != a.phase || o.pipe != a.pipe ||
        o.write != a.write || o.atomic != a.atomic || !o.widened) {
      it->second = all.size();
      return false;
    }
    o.repeated = true;
    return true;
  }

  void out_of_bounds(const Instr& i, int r, const Span& s, int core, int64_t block, int64_t size) {
    for (const Finding& f : out_.findings)
      if (f.parties[0].site == i.site) return;
    Finding f{kOutOfBounds};
    Party p;
    const Region& g = i.regions[r];
    p.core = static_cast<int8_t>(core);
    p.pipe = i.pipe, p.memory = g.memory, p.access = g.access, p.tensor = g.tensor, p.opcode = i.opcode, p.site = i.site,
    p.block = block;
    p.low = s.base, p.high = s.end();
    p.args.assign(i.args, i.args + i.nargs);
    f.parties.push_back(p);
    f.low = s.base, f.high = s.end(), f.blocks = {block}, f.numbers = {size};
    out_.findings.push_back(std::move(f));
  }

  const Program& program_;
  const Storages& storages_;
  const GroupCheck* phases_;
  const Taken taken_;
  const int64_t most_;
  BlockWalk& out_;
  std::vector<int64_t> origin_;
  std::unordered_map<uint64_t, size_t> widened_;  // accesses that scalars place, by what and where
};

Party party_of(const SharedAccess& a, const Storages& st) {
  Party p;
  p.core = a.core;
  p.pipe = a.pipe, p.memory = kGM, p.access = a.atomic ? kAtomic : a.write ? kWrite : kRead, p.site = a.site, p.block = a.block;
  for (size_t t = 0; t < st.of.size(); ++t)
    if (st.of[t] == a.storage) {
      p.tensor = static_cast<int16_t>(t);
      break;
    }
  p.low = a.span.base, p.high = a.span.end();
  return p;
}

bool phase_before(const Phase& a, const Phase& b) {
  for (int s = 0; s < kMostStreams; ++s)
    if (a.complete[s] <= b.passed[s]) return true;
  return false;
}

// Adds a pair of blocks to the findings, one finding per pair of source lines.
class PairReport {
 public:
  PairReport(const Storages& st, std::vector<Finding>& findings) : storages_(st), findings_(findings) {}
  void add(int rule, int reason, const SharedAccess& a, const SharedAccess& b, int64_t low, int64_t high) {
    auto [it, made] = known_.try_emplace({rule, a.site, b.site, a.storage}, findings_.size());
    if (!made) {
      Finding& f = findings_[it->second];
      ++f.count;
      if (f.blocks.back() != a.block && f.blocks.size() < 4096) f.blocks.push_back(a.block);
      return;
    }
    Finding f{rule, reason};
    f.parties = {party_of(a, storages_), party_of(b, storages_)};
    f.low = low, f.high = high, f.blocks = {a.block}, f.numbers = {kCoreRace};
    findings_.push_back(std::move(f));
  }

 private:
  const Storages& storages_;
  std::vector<Finding>& findings_;
  std::map<std::tuple<int, int32_t, int32_t, int32_t>, size_t> known_;
};

}  // namespace

Storages storages_of(const Program& program, const std::vector<int64_t>& storage, const std::vector<int64_t>& offset) {
  const size_t n = program.tensor_bytes.size();
  Storages st{storage, offset, {}, {}};
  if (storage.empty())
    for (size_t t = 0; t < n; ++t) st.of.push_back(static_cast<int64_t>(t)), st.offset.push_back(0);
  int64_t most = 0;
  for (int64_t s : st.of) most = std::max(most, s + 1);
  st.written.resize(most), st.read.resize(most);
  for (const Code* code : {&program.cube, &program.vector})
    for (const OperandTemplate& o : code->operands) {
      if (o.memory != kGM || o.tensor < 0 || o.tensor >= static_cast<int>(n)) continue;
      const int64_t s = st.of[o.tensor];
      if (o.access & (kWrite | kPartial | kAtomic)) st.written[s] = 1;
      if ((o.access & kRead) && !(o.access & kAtomic)) st.read[s] = 1;
    }
  return st;
}

void walk_block(const Program& program, int64_t block, const Storages& storages, Taken taken, const GroupCheck* phases,
                int64_t most, BlockWalk& out) {
  CoreWalk walk(program, storages, phases, taken, most, out);
  if (program.has_cube()) walk.run(kAIC, 0, block, 0);
  for (int v = 0; v < program.vectors_per_group(); ++v) {
    out.hash = mix(out.hash, 0x5eed + v);
    walk.run(kAIV, 1 + v, block, v);
  }
}

void compare_blocks(const Storages& storages, std::vector<SharedAccess>& accesses, const std::vector<const GroupCheck*>& phases,
                    std::vector<Finding>& findings, std::vector<char>& again) {
  std::sort(accesses.begin(), accesses.end(), [](const SharedAccess& a, const SharedAccess& b) {
    return std::tie(a.storage, a.span.base, a.block, a.core, a.index) <
           std::tie(b.storage, b.span.base, b.block, b.core, b.index);
  });
  PairReport pairs(storages, findings);
  std::vector<const SharedAccess*> open[2];  // reads, writes that may still meet what comes
  int64_t looked_at = 0;
  int32_t storage = -1;
  for (const SharedAccess& a : accesses) {
    if (a.storage != storage) open[0].clear(), open[1].clear(), storage = a.storage;
    if (a.repeated && a.write && !a.atomic && !storages.read[a.storage]) again[a.block] = 1;
    for (int kind = a.write ? 0 : 1; kind < 2; ++kind) {
      std::erase_if(open[kind], [&](const SharedAccess* o) { return o->span.end() <= a.span.base; });
      looked_at += static_cast<int64_t>(open[kind].size());
      for (const SharedAccess* o : open[kind]) {
        if (o->block == a.block && storages.read[a.storage]) continue;  // the block's own check has seen it
        int64_t low, high;
        bool sure;
        if (!overlap(o->span, a.span, low, high, sure)) continue;
        if (o->block == a.block) {
          if (o->atomic && a.atomic) continue;
          again[a.block] = 1;
          continue;
        }
        if (o->phase >= 0 && a.phase >= 0) {
          const Phase &p = phases[o->block]->phases[o->phase], &q = phases[a.block]->phases[a.phase];
          if (phase_before(p, q) || phase_before(q, p)) continue;
        }
        const bool sums = o->atomic && a.atomic, wide = o->widened || a.widened || !sure;
        pairs.add(sums   ? kOrderDependent
                  : wide ? kUnsupported
                         : kCoreRace,
                  wide && !sums ? kWidenedOverlap : kPlain, a, *o, low, high);
      }
    }
    if (looked_at > kMostPairs) {
      Finding f{kUnsupported, kTooManyOverlaps};
      f.parties = {party_of(a, storages)};
      findings.push_back(std::move(f));
      return;
    }
    open[a.write].push_back(&a);
  }
}

}  // namespace al::davinci
