// Fixpipe: results of the cube to GM, L1 or UB, scaled, converted and laid out.
#include <cmath>

#include "davinci/cube.h"
#include "davinci/vector.h"
#include "simd/davinci_cast.h"

namespace al::davinci {
namespace {

constexpr int kScaleBytes = 8;  // a column's: a u64 whose low half is the number

enum Arg : int { kM, kN, kDstLd, kSrcRows, kQuant, kRelu, kUnitFlag, kNz, kAtomicOp, kMatrices, kSrcMatrix, kDstMatrix };

struct FixStep {
  Place dst, src, scales;
  LoopFn convert, atomic;
  int64_t sizes[kNumFixSizes];
  int64_t matrices, src_matrix, dst_matrix;  // scaled bytes
  int64_t scale, src_step, dst_step, dst_item, scales_step;
  double factor;
  int32_t from, to, saturate;  // held formats; format to saturate or -1
};

// A row of C as the loop leaves it goes through `row` where it is added to what is there.
void run_fixpipe(Core& core, const FixStep& s) {
  float factors[4096];
  const int64_t n = s.sizes[kFixN];
  if (s.sizes[kFixQuant] == kQuantColumns)
    for (int64_t x = 0; x < n; ++x) std::memcpy(&factors[x], core.at(s.scales) + x * s.scales_step, sizeof(float));
  else
    factors[0] = static_cast<float>(s.factor);
  char overflow = 0;
  for (int64_t m = 0; m < s.matrices; ++m) {
    char* data[] = {core.at(s.dst) + m * s.dst_matrix, core.at(s.src) + m * s.src_matrix, reinterpret_cast<char*>(factors), &overflow};
    s.convert(data, s.sizes, 0);
  }
  if (overflow) core.overflow = true;
}

void run_fixpipe_atomic(Core& core, const FixStep& s) {
  alignas(64) char row[4096 * 4];
  FixStep one = s;
  one.matrices = one.sizes[kFixM] = 1;
  one.sizes[kFixDstBlock] = 0;
  for (int64_t m = 0; m < s.matrices; ++m)
    for (int64_t r = 0; r < s.sizes[kFixM]; ++r) {
      Core aside{{row, core.bases[s.src.slot], s.sizes[kFixQuant] == kQuantColumns ? core.bases[s.scales.slot] : nullptr}, false};
      one.dst = {0, 0};
      one.src = {1, s.src.offset + m * s.src_matrix + r * 16 * s.src_step};
      one.scales = {2, s.scales.offset};
      run_fixpipe(aside, one);
      core.overflow = core.overflow || aside.overflow;
      char* to = core.at(s.dst) + m * s.dst_matrix + r * s.sizes[kFixDstRow];
      char* data[] = {to, to, row};
      const int64_t strides[] = {s.dst_item, s.dst_item, s.dst_item};
      s.atomic(data, strides, s.sizes[kFixN]);
      if (s.saturate >= 0 && saturate(s.saturate, to, s.sizes[kFixN])) core.overflow = true;
    }
}

// ---- wide memories: one number after the other, in double ----

double load_wide(const char* at, int format) {
  if (format == kInt32) return *reinterpret_cast<const int32_t*>(at);
  return format == kFloat32 ? static_cast<double>(*reinterpret_cast<const float*>(at)) : *reinterpret_cast<const double*>(at);
}

double finish_wide(const FixStep& s, double x, const Core& core, int64_t column) {
  if (s.sizes[kFixRelu] && x < 0) x = 0;
  if (s.sizes[kFixQuant] == kQuantScale) return x * s.factor;
  if (s.sizes[kFixQuant] != kQuantColumns) return x;
  float factor;
  std::memcpy(&factor, core.at(s.scales) + column * s.scales_step, sizeof factor);
  return x * factor;
}

void store_wide(const FixStep& s, char* to, double x) {
  alignas(8) char number[8];
  if (s.to == kInt8) number[0] = static_cast<char>(to_integer<int8_t, kRint>(x));
  else if (s.to == kInt32) store_number(number, kInt32, 0, static_cast<int64_t>(x), true);
  else store_number(number, s.to, x, 0, false);
  char* data[] = {to, to, number};
  const int64_t strides[] = {s.dst_item, s.dst_item, s.dst_item};
  if (s.atomic) s.atomic(data, strides, 1);
  else std::memcpy(to, number, static_cast<size_t>(s.dst_item));
}

void run_fixpipe_wide(Core& core, const FixStep& s) {
  const int64_t c0 = kBlockBytes * s.scale / s.dst_step, block = s.sizes[kFixDstBlock];
  for (int64_t m = 0; m < s.matrices; ++m)
    for (int64_t r = 0; r < s.sizes[kFixM]; ++r)
      for (int64_t x = 0; x < s.sizes[kFixN]; ++x) {
        const int64_t from = (x / 16 * s.sizes[kFixSrcRows] + r) * 16 + x % 16;
        const double value = load_wide(core.at(s.src) + m * s.src_matrix + from * s.src_step, s.from);
        const int64_t column = block ? x / c0 * block + x % c0 * s.dst_step : x * s.dst_step;
        store_wide(s, core.at(s.dst) + m * s.dst_matrix + r * s.sizes[kFixDstRow] + column, finish_wide(s, value, core, x));
      }
}

void choose_loops(const Building& b, FixStep& s, int from, int to) {
  const std::string name = std::string("davinci.fixpipe ") + format_name(from) + " " + format_name(to);
  s.convert = find_loop(name.c_str(), 0);
  if (!s.convert) b.refuse(std::string("no conversion from ") + format_name(from) + " to " + format_name(to));
  constexpr const char* loops[] = {nullptr, "add", "maximum", "minimum"};
  const int64_t op = b.arg(kAtomicOp);
  if (op < 0 || op > 3) b.refuse("the atomic operation is " + std::to_string(op) + "; it must be 0..3");
  if (op) s.atomic = find_loop(loops[op], s.to);
}

// Rows of results, or column blocks of them, from blocks of 16 columns.
void place_results(const Building& b, FixStep& s) {
  const int64_t m = b.arg(kM), n = b.arg(kN), from = item_size(b.region(1).dtype), to = item_size(b.region(0).dtype), c0 = kBlockBytes / to;
  if (n > 4096) b.refuse("n is " + std::to_string(n) + "; it must be at most 4096");
  if (b.arg(kQuant) < kQuantNone || b.arg(kQuant) > kQuantColumns) b.refuse("the conversion is " + std::to_string(b.arg(kQuant)) + "; it must be 0..3");
  const int64_t whole = n > 0 ? (n - 1) / c0 : 0;  // column blocks before the last
  const Extent rows = Extent(n * to).times(m, b.arg(kDstLd));
  const Extent last = Extent((n - whole * c0) * to, __int128{b.arg(kDstLd)} * whole).times(m, kBlockBytes);
  const Extent blocks = Extent(kBlockBytes).times(m, kBlockBytes).times(whole, b.arg(kDstLd)).with(last);
  s.dst = b.place(0, (b.arg(kNz) ? blocks : rows).times(b.arg(kMatrices), b.arg(kDstMatrix)));
  const Extent read = Extent(__int128{16} * from).times(m, 16 * from).times((n + 15) / 16, __int128{b.arg(kSrcRows)} * 16 * from);
  s.src = b.place(1, read.times(b.arg(kMatrices), b.arg(kSrcMatrix)));
}

void fixpipe(Building& b) {
  const int from = b.region(1).dtype, to = b.region(0).dtype;
  const int64_t w = b.numerics.scale();
  FixStep s{};
  place_results(b, s);
  s.factor = b.real(0, 1);
  s.from = b.numerics.held(from), s.to = b.numerics.held(to), s.scale = w;
  s.saturate = b.numerics.saturates() && (to == kFloat16 || to == kBFloat16) ? to : -1;
  choose_loops(b, s, from, to);
  const bool nz = b.arg(kNz) != 0;
  const int64_t sizes[] = {b.arg(kM), b.arg(kN), b.arg(kSrcRows), nz ? kBlockBytes * w : b.arg(kDstLd) * w, nz ? b.arg(kDstLd) * w : 0,
                           b.arg(kQuant), b.arg(kRelu), s.saturate >= 0};
  std::copy(std::begin(sizes), std::end(sizes), s.sizes);
  s.matrices = b.arg(kMatrices), s.src_matrix = b.arg(kSrcMatrix) * w, s.dst_matrix = b.arg(kDstMatrix) * w;
  s.src_step = item_size(from) * w, s.dst_step = item_size(to) * w, s.dst_item = item_size(s.to), s.scales_step = kScaleBytes * w;
  if (s.sizes[kFixQuant] == kQuantColumns) s.scales = b.place(2, Extent(b.arg(kN) * int64_t{kScaleBytes}));
  if (s.sizes[kFixM] <= 0 || s.sizes[kFixN] <= 0 || s.matrices <= 0) return;
  if (b.numerics.wide()) b.add<run_fixpipe_wide>(s);
  else if (s.atomic && nz) b.refuse("atomic results are written row by row, not as Nz");
  else if (s.atomic) b.add<run_fixpipe_atomic>(s);
  else b.add<run_fixpipe>(s);
}

constexpr MeaningEntry kEntries[] = {{"fixpipe", fixpipe}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
