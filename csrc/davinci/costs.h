// What each instruction costs when nothing holds it up, and which copies share the memories. All constants come from outside
// (ascendlite/npu/costs.toml and the chip's file); the formulas are here.
#pragma once
#include <array>
#include <map>
#include <string>
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

// One number of the model: its name in Python's dict and where it goes. Cycles unless the name ends in _ns (nanoseconds),
// _bytes or _rate (bytes a cycle of one core; hbm_rate, hbm_write_rate, l2_rate: bytes a nanosecond of the chip).
#define AL_CLOCK_CONSTANTS(X)                                                                                                  \
  X(cycle_ns) X(cube_cores) X(vector_cores) X(l2_bytes) X(line_bytes) X(sector_bytes) X(block_align_bytes)                     \
  X(hbm_rate) X(hbm_write_rate) X(around_rate) X(l2_rate) X(line_readers_rate) X(transfer_align_bytes) X(unaligned_share) X(ub_ub_rate)                                                                \
  X(in_ub_hit_rate) X(in_ub_miss_rate) X(in_l1_hit_rate) X(in_l1_miss_rate) X(out_rate) X(nd2nz_row_hit_ns) X(nd2nz_row_miss_ns) X(copy_issue_ns)       \
  X(copy_overhead_bytes) X(in_latency_hit_ns) X(in_latency_miss_ns) X(out_latency_ns)                                          \
  X(l0a_rate) X(l0b_rate) X(load_overhead) X(load_latency) X(load3d_latency) X(table_rate) X(table_latency) X(fill_rate)                         \
  X(fix_gm_elements) X(fix_l1_elements) X(fix_ub_elements) X(fix_latency) X(fix_nd_ns)                                         \
  X(mmad_overhead) X(vector_bytes) X(vector_overlap) X(read_read_conflict) X(write_write_conflict) X(read_write_conflict) X(group_reads)                             \
  X(bank_bytes) X(banks) X(bank_groups)                                                                                        \
  X(issue) X(queue_depth) X(scalar_access) X(flag) X(cross_flag_ns) X(launch_ns) X(launch_core_ns) X(block_gap_ns)

// Cycles of a vector instruction: head + slope a repeat + tail; the slope by the size of an element (1, 2, 4, 8 bytes).
struct VectorCost {
  double head, slope[4], tail;
};

struct Model {
#define AL_FIELD(name) double name = 0;
  AL_CLOCK_CONSTANTS(AL_FIELD)
#undef AL_FIELD
  std::map<std::string, VectorCost> vector;
  std::map<int, double> macs;  // multiply-adds a cycle by dtype code; -1: float32 as HF32
};

// Kinds of copies by what they can reach.
enum Path : uint8_t { kNoPath, kIntoUB, kIntoL1, kOutOfUB, kOutOfL0C };

struct Cost {
  double occupancy = 0;  // ns that the pipe cannot begin another
  double tail = 0;       // ns from there until the result is there
  Path path = kNoPath;   // a copy from or to GM: its bytes also take memory rate
  int region = -1;       // its global operand
  double rows = 0;       // kIntoL1: of the source
  double rate = 0;       // kOutOfL0C: bytes a ns that the pipe can give
  double conflicts = 0;  // vector: ns lost to bank conflicts, within occupancy
  double work = 0;       // cube: multiply-adds, vector: elements
};

class Costs {
 public:
  // Raises std::invalid_argument when a declaration names a cost that the model does not have.
  Costs(const Program& program, const Model& model);
  Cost of(const Instr& instr) const;
  int unit_argument(const Instr& instr) const { return entries_[instr.opcode].unit_argument; }  // of its arguments; -1: it has no unit flag
  double bytes_of(const Region& region) const;     // that the region names
  double fetched_bytes(const Region& region, bool& whole_lines) const;  // that memory moves for them
  double unaligned(const Region& region, int64_t base) const;            // share of its runs that take more parts of transfer_align than they need

 private:
  using Formula = Cost (Costs::*)(const Instr&) const;
  struct Entry {
    Formula formula = nullptr;
    const VectorCost* vector = nullptr;
    int unit_argument = -1;
    int mask = -1;  // operand that holds bits, which come beside the numbers
  };
  Cost vector(const Instr& i) const;
  Cost copy(const Instr& i) const;
  Cost nd2nz(const Instr& i) const;
  Cost load_l0(const Instr& i) const;
  Cost load3d(const Instr& i) const;
  Cost fill(const Instr& i) const;
  Cost mmad(const Instr& i) const;
  Cost fixpipe(const Instr& i) const;
  Cost scalar(const Instr& i) const;
  Cost nothing(const Instr& i) const;
  double conflict_slope(const Instr& i, double repeats) const;
  double beat_conflict(const Instr& i, int64_t repeat) const;

  // The rounds of a loop place the same operands again and again: what they lose to conflicts is kept with all that it depends on.
  struct Conflict {
    std::array<int64_t, 16> of{};
    double slope = 0;
  };
  static constexpr size_t kConflicts = 1 << 12;

  const Model& m_;
  std::vector<Entry> entries_;  // by opcode
  mutable std::vector<Conflict> conflicts_;
};

int dtype_bytes(int dtype);

}  // namespace al::davinci
