#include "davinci/costs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

namespace al::davinci {
namespace {

// Codes of csrc/abi.h; 32 and up: formats of local memories only (ascendlite/npu/lang/dtypes.py).
constexpr int kSizes[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1, 1, 1, 1};
constexpr int kLocalSizes[] = {2, 4, 8, 1, 1};
constexpr int kFirstLocal = 32;
constexpr int kFloat32 = 8, kHF32 = -1;
constexpr double kFractalRow = 16, kBlockBytes = 32;

double blocks(double n, double size) { return std::ceil(n / size); }

int64_t repeats_of(const Region& r) {
  int64_t n = 1;
  for (int d = 0; d < r.ndim; ++d) n *= r.count[d];
  return n;
}

// The last argument of loads says how many instructions of the card one load stands for.
double loads_of(const Instr& i) { return i.nargs ? std::max<double>(1, static_cast<double>(i.args[i.nargs - 1])) : 1; }

enum VectorArg { kMode, kCount, kMaskHigh, kRepeat, kDstBlock, kSrc0Block, kSrc1Block, kDstRep, kSrc0Rep, kSrc1Rep };

}  // namespace

int dtype_bytes(int dtype) {
  if (dtype >= kFirstLocal && dtype < kFirstLocal + 5) return kLocalSizes[dtype - kFirstLocal];
  return dtype >= 0 && dtype < 15 ? kSizes[dtype] : 4;
}

Costs::Costs(const Program& program, const Model& model) : m_(model), entries_(program.declarations.size()) {
  static const std::map<std::string, Formula> formulas = {
      {"copy", &Costs::copy},      {"nd2nz", &Costs::nd2nz},   {"load_l0", &Costs::load_l0}, {"load3d", &Costs::load3d},
      {"fill", &Costs::fill},      {"mmad", &Costs::mmad},    {"fixpipe", &Costs::fixpipe}, {"scalar", &Costs::scalar},
      {"sync", &Costs::nothing},   {"barrier", &Costs::nothing}, {"cross_sync", &Costs::nothing}, {"sync_all", &Costs::nothing},
  };
  for (size_t k = 0; k < entries_.size(); ++k) {
    const Declaration& d = program.declarations[k];
    entries_[k].unit_argument = d.unit_argument();
    if (d.meaning == "select") entries_[k].mask = 1;
    auto v = model.vector.find(d.cost);
    auto f = formulas.find(d.cost);
    if (f != formulas.end()) {
      entries_[k].formula = f->second;
    } else if (v != model.vector.end()) {
      entries_[k].formula = &Costs::vector, entries_[k].vector = &v->second;
    } else {
      throw std::invalid_argument("clock: " + d.name + " costs \"" + d.cost + "\", which costs.toml does not have for this generation; add it there with its source");
    }
  }
}

Cost Costs::of(const Instr& i) const { return (this->*entries_[i.opcode].formula)(i); }

Cost Costs::nothing(const Instr&) const { return {}; }

double Costs::bytes_of(const Region& r) const { return static_cast<double>(r.bytes * repeats_of(r)); }

// Memory moves whole sectors; a run that begins or ends within a block of 32 bytes takes whole lines.
double Costs::fetched_bytes(const Region& r, bool& whole_lines) const {
  const int64_t align = static_cast<int64_t>(m_.block_align_bytes);
  bool odd = r.base % align || r.bytes % align;
  for (int d = 0; d < r.ndim; ++d) odd = odd || r.stride[d] % align;
  const int64_t runs = repeats_of(r);
  whole_lines = odd && runs > 1;
  const int64_t grain = static_cast<int64_t>(whole_lines ? m_.line_bytes : m_.sector_bytes);
  if (!odd && r.base % grain == 0 && r.bytes % grain == 0 && (r.ndim == 0 || r.stride[r.ndim - 1] % grain == 0)) return bytes_of(r);
  // Where runs begin within a grain differs from run to run: some are enough.
  const int64_t inner = r.ndim ? r.count[r.ndim - 1] : 1, step = r.ndim ? r.stride[r.ndim - 1] : 0, some = std::min<int64_t>(inner, 16);
  double sum = 0;
  for (int64_t k = 0; k < some; ++k) {
    const int64_t first = r.base + k * step;
    sum += static_cast<double>(((first + r.bytes + grain - 1) / grain - first / grain) * grain);
  }
  return some ? sum / static_cast<double>(some) * static_cast<double>(runs) : 0;
}

double Costs::unaligned(const Region& r, int64_t base) const {
  const int64_t align = static_cast<int64_t>(m_.transfer_align_bytes), some = r.ndim ? std::min<int64_t>(r.count[r.ndim - 1], 16) : 1;
  const auto parts = [align](int64_t bytes) { return (bytes + align - 1) / align; };
  int64_t odd = 0;
  for (int64_t k = 0; k < some; ++k) odd += parts((base + r.base + (r.ndim ? k * r.stride[r.ndim - 1] : 0)) % align + r.bytes) > parts(r.bytes);
  return some ? static_cast<double>(odd) / static_cast<double>(some) : 0;
}

// Cycles that one repeat loses. Blocks of 32 bytes lie in turn in the bank groups; a group's banks follow each other by groups *
// bank_bytes. In one cycle a group gives so many reads and takes one write; a read and a write of one bank wait for each other.
double Costs::beat_conflict(const Instr& i, int64_t repeat) const {
  const int groups = static_cast<int>(m_.bank_groups);
  const int64_t third = static_cast<int64_t>(m_.bank_bytes) * groups, mode = i.args[kMode];
  const Region* regions[3];
  int operands = 0, widest = 1;
  for (int k = 0; k < i.nregions && operands < 3; ++k)
    if (k != entries_[i.opcode].mask) regions[operands++] = &i.regions[k], widest = std::max(widest, dtype_bytes(i.regions[k].dtype));
  int reads[32] = {}, writes[32] = {};
  uint32_t mask[3] = {};
  int64_t bank[3] = {-1, -2, -3};
  for (int k = 0; k < operands; ++k) {
    if (regions[k]->memory != kUB) continue;
    const int size = dtype_bytes(regions[k]->dtype), full = 8 * size / widest;  // blocks of a whole repeat
    const int64_t step = mode == 0 ? 1 : i.args[kDstBlock + k], rep = mode == 0 ? full : i.args[kDstRep + k];
    const int64_t some = mode == 1 ? std::min<int64_t>(full, (i.args[kCount] * size + 31) / 32) : full;
    const int64_t first = regions[k]->base / 32 + repeat * rep;
    bank[k] = first * 32 / third;
    for (int64_t b = 0; b < (step ? some : 1); ++b) {
      const int64_t group = (first + b * step) % groups;
      ++(k == 0 ? writes : reads)[group];
      mask[k] |= 1u << group;
    }
  }
  const int most_reads = *std::max_element(reads, reads + groups), most_writes = *std::max_element(writes, writes + groups);
  const double lost = std::max(std::max(0.0, std::ceil(most_reads / m_.group_reads) - 1) * m_.read_read_conflict, std::max(0, most_writes - 1) * m_.write_write_conflict);
  const bool crossed = ((mask[0] & mask[1]) && bank[0] == bank[1]) || ((mask[0] & mask[2]) && bank[0] == bank[2]);
  return lost > 0 ? lost : crossed ? m_.read_write_conflict : 0;
}

double Costs::conflict_slope(const Instr& i, double repeats) const {
  const int groups = static_cast<int>(m_.bank_groups);
  if (groups <= 0 || groups > 32 || i.nregions < 2 || i.nargs <= kSrc1Rep) return 0;
  const int64_t n = std::min<int64_t>(16, std::max<int64_t>(1, static_cast<int64_t>(repeats)));
  const int operands = std::min<int>(3, i.nregions);
  Conflict now;
  now.of[0] = operands, now.of[1] = n, now.of[2] = i.args[kMode], now.of[3] = i.args[kMode] == 1 ? i.args[kCount] : 0;
  for (int k = 0; k < operands; ++k) now.of[4 + k] = i.regions[k].base, now.of[7 + k] = int64_t{i.regions[k].memory} << 8 | i.regions[k].dtype;
  std::copy_n(i.args + kDstBlock, 6, now.of.begin() + 10);
  uint64_t hash = 0;
  for (const int64_t word : now.of) hash = (hash ^ static_cast<uint64_t>(word)) * 0x9E3779B97F4A7C15u, hash ^= hash >> 32;
  if (conflicts_.empty()) conflicts_.resize(kConflicts);
  Conflict& known = conflicts_[hash % kConflicts];
  if (known.of == now.of) return known.slope;
  for (int64_t r = 0; r < n; ++r) now.slope += beat_conflict(i, r);
  now.slope /= static_cast<double>(n);
  known = now;
  return now.slope;
}

Cost Costs::vector(const Instr& i) const {
  const VectorCost& v = *entries_[i.opcode].vector;
  int widest = 1;
  for (int k = 0; k < i.nregions; ++k) widest = std::max(widest, dtype_bytes(i.regions[k].dtype));
  const double lanes = m_.vector_bytes / widest;
  const bool counted = i.nargs > kRepeat && i.args[kMode] == 0;
  const double repeats = i.nargs <= kRepeat ? 1 : counted ? blocks(static_cast<double>(i.args[kCount]), lanes) : static_cast<double>(i.args[kRepeat]);
  const double conflict = conflict_slope(i, repeats);
  const double slope = v.slope[std::countr_zero(static_cast<unsigned>(widest))];
  // The next instruction hides `vector_overlap` cycles of the tail.
  const double hidden = std::min(v.head + v.tail, m_.vector_overlap);
  Cost c;
  c.occupancy = (v.head + v.tail - hidden + (slope + conflict) * repeats) * m_.cycle_ns;
  c.tail = hidden * m_.cycle_ns;
  c.conflicts = conflict * repeats * m_.cycle_ns;
  c.work = counted ? static_cast<double>(i.args[kCount]) : repeats * lanes;
  return c;
}

Cost Costs::copy(const Instr& i) const {
  Cost c;
  const Region& dst = i.regions[0];
  const Region& src = i.regions[1];
  const double bytes = bytes_of(dst);
  if (src.memory == kGM || dst.memory == kGM) {
    const bool in = src.memory == kGM;
    c.path = !in ? kOutOfUB : dst.memory == kL1 ? kIntoL1 : kIntoUB;
    c.region = in ? 1 : 0;
    c.occupancy = m_.copy_issue_ns;  // at least; the memory decides
    if (c.path == kIntoL1) c.rows = static_cast<double>(repeats_of(src));
    return c;
  }
  if (i.pipe == kV) {
    c.occupancy = bytes / m_.ub_ub_rate * m_.cycle_ns + m_.issue * m_.cycle_ns;
  } else {
    c.occupancy = bytes / m_.table_rate * m_.cycle_ns;
    c.tail = m_.table_latency * m_.cycle_ns;
  }
  return c;
}

// Rows that follow each other in GM still part on their way.
Cost Costs::nd2nz(const Instr& i) const {
  enum Arg { kRows, kMatrices = 4 };
  Cost c = copy(i);
  c.rows = static_cast<double>(i.args[kRows] * i.args[kMatrices]);
  return c;
}

Cost Costs::load_l0(const Instr& i) const {
  Cost c;
  const double rate = i.regions[0].memory == kL0A ? m_.l0a_rate : m_.l0b_rate;
  c.occupancy = (bytes_of(i.regions[0]) / rate + m_.load_overhead * loads_of(i)) * m_.cycle_ns;
  c.tail = std::max(0.0, m_.load_latency - m_.load_overhead) * m_.cycle_ns;
  return c;
}

Cost Costs::load3d(const Instr& i) const {
  Cost c = load_l0(i);
  c.tail = std::max(0.0, m_.load3d_latency - m_.load_overhead) * m_.cycle_ns;
  return c;
}

Cost Costs::fill(const Instr& i) const {
  Cost c;
  c.occupancy = bytes_of(i.regions[0]) / m_.fill_rate * m_.cycle_ns;
  c.tail = m_.table_latency * m_.cycle_ns;
  return c;
}

Cost Costs::mmad(const Instr& i) const {
  Cost c;
  const int dtype = i.regions[1].dtype;
  const bool hf32 = dtype == kFloat32 && i.nargs > 5 && i.args[5];
  auto rate = m_.macs.find(hf32 ? kHF32 : dtype);
  if (rate == m_.macs.end()) throw std::invalid_argument("clock: the cube of this chip does not multiply the dtype with code " + std::to_string(dtype));
  const double k0 = kBlockBytes / dtype_bytes(dtype);
  const double m = static_cast<double>(i.args[0]), n = static_cast<double>(i.args[1]), k = static_cast<double>(i.args[2]);
  const double cycles = blocks(m, kFractalRow) * blocks(n, kFractalRow) * blocks(k, k0) * (kFractalRow * kFractalRow * k0 / rate->second);
  c.occupancy = (m_.mmad_overhead + cycles) * m_.cycle_ns;
  c.work = m * n * k;
  return c;
}

Cost Costs::fixpipe(const Instr& i) const {
  Cost c;
  const Region& dst = i.regions[0];
  const double n = static_cast<double>(i.args[1]) * static_cast<double>(i.args[0]) * (i.nargs > 9 ? std::max<double>(1, static_cast<double>(i.args[9])) : 1);
  if (dst.memory == kGM) {
    c.path = kOutOfL0C, c.region = 0;
    c.rate = m_.fix_gm_elements * dtype_bytes(dst.dtype) / m_.cycle_ns;
    c.occupancy = n / m_.fix_gm_elements * m_.cycle_ns + (i.args[7] == 0 ? m_.fix_nd_ns : 0);
    return c;
  }
  c.occupancy = n / (dst.memory == kL1 ? m_.fix_l1_elements : m_.fix_ub_elements) * m_.cycle_ns;
  c.tail = m_.fix_latency * m_.cycle_ns;
  return c;
}

Cost Costs::scalar(const Instr& i) const {
  Cost c;
  c.occupancy = m_.scalar_access * m_.cycle_ns;
  if (i.nregions && i.regions[0].memory == kGM) c.occupancy += m_.in_latency_hit_ns;
  return c;
}

}  // namespace al::davinci
