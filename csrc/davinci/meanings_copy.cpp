// Copies between memories: rows with strides and filled ends, atomic adds, layout changes of whole matrices, constants.
#include "davinci/vector.h"
#include "simd/davinci_cast.h"

namespace al::davinci {
namespace {

enum CopyArg : int { kOuter, kInner, kBytes, kDstOuter, kDstInner, kSrcOuter, kSrcInner, kLeft, kRight, kFill, kAtomicOp };
enum Fill : int64_t { kNoFill, kNumber, kFirstElement };

struct CopyStep {
  Place dst, src;
  int64_t outer, inner, bytes, dst_outer, dst_inner, src_outer, src_inner, left, right;  // scaled bytes
  int64_t fill, number;  // Fill; the number's bytes
  int64_t step, item;    // of an element in memory; bytes that hold it
  LoopFn atomic;         // null: dst = src
  int32_t saturate;
};

void fill_items(char* to, int64_t bytes, const void* number, int64_t step, int64_t item) {
  for (int64_t at = 0; at < bytes; at += step) std::memcpy(to + at, number, static_cast<size_t>(item));
}

void copy_plain(Core& core, const CopyStep& c) {
  for (int64_t o = 0; o < c.outer; ++o) {
    char* to = core.at(c.dst) + o * c.dst_outer;
    const char* from = core.at(c.src) + o * c.src_outer;
    for (int64_t i = 0; i < c.inner; ++i, to += c.dst_inner, from += c.src_inner) std::memcpy(to, from, static_cast<size_t>(c.bytes));
  }
}

void copy_filled(Core& core, const CopyStep& c) {
  for (int64_t o = 0; o < c.outer; ++o)
    for (int64_t i = 0; i < c.inner; ++i) {
      char* to = core.at(c.dst) + o * c.dst_outer + i * c.dst_inner;
      const char* from = core.at(c.src) + o * c.src_outer + i * c.src_inner;
      const void* number = c.fill == kFirstElement ? static_cast<const void*>(from) : &c.number;
      fill_items(to, c.left, number, c.step, c.item);
      std::memcpy(to + c.left, from, static_cast<size_t>(c.bytes));
      fill_items(to + c.left + c.bytes, c.right, number, c.step, c.item);
    }
}

void copy_atomic(Core& core, const CopyStep& c) {
  const int64_t strides[3] = {c.step, c.step, c.step};
  for (int64_t o = 0; o < c.outer; ++o)
    for (int64_t i = 0; i < c.inner; ++i) {
      char* to = core.at(c.dst) + o * c.dst_outer + i * c.dst_inner;
      char* from = core.at(c.src) + o * c.src_outer + i * c.src_inner;
      char* data[3] = {to, to, from};
      c.atomic(data, strides, c.bytes / c.step);
      if (c.saturate >= 0 && saturate(c.saturate, to, c.bytes / c.step)) core.overflow = true;
    }
}

// Rows that lie behind each other on both sides are one.
void join_rows(CopyStep& c) {
  if (c.left || c.right) return;
  if (c.dst_inner == c.bytes && c.src_inner == c.bytes) c.bytes *= c.inner, c.inner = 1;
  if (c.inner == 1 && c.dst_outer == c.bytes && c.src_outer == c.bytes) c.bytes *= c.outer, c.outer = 1;
}

// Numbers on their way to the bias table become those of the accumulator.
struct WidenStep {
  Place dst, src;
  int64_t count, strides[2];
  LoopFn loop;
};

void copy_widened(Core& core, const WidenStep& c) {
  char* data[2] = {core.at(c.dst), core.at(c.src)};
  c.loop(data, c.strides, c.count);
}

void widen(Building& b) {
  const int to = b.region(0).dtype, from = b.region(1).dtype;
  WidenStep c{};
  c.count = std::max<int64_t>(b.arg(kBytes) / item_size(from), 0);
  c.dst = b.place(0, Extent(__int128{c.count} * item_size(to))), c.src = b.place(1, Extent(b.arg(kBytes)));
  c.strides[0] = item_size(to) * b.numerics.scale(), c.strides[1] = item_size(from) * b.numerics.scale();
  const std::string cast = std::string("davinci.cast ") + format_name(from) + " " + format_name(to);
  c.loop = b.numerics.wide() ? find_mover(b.numerics.held(to)) : find_loop(cast.c_str(), kNone);
  if (!c.loop || b.arg(kOuter) != 1 || b.arg(kInner) != 1 || b.arg(kFill) != kNoFill || b.arg(kAtomicOp))
    b.refuse(std::string("converts no such rows of ") + format_name(from) + " to " + format_name(to));
  if (c.count > 0) b.add<copy_widened>(c);
}

LoopFn atomic_loop(const Building& b, int64_t op, int format) {
  constexpr const char* loops[] = {nullptr, "add", "maximum", "minimum"};
  if (op == 0) return nullptr;
  const LoopFn loop = op > 0 && op < 4 ? find_loop(loops[op], b.numerics.held(format)) : nullptr;
  if (!loop) b.refuse(std::string("no atomic operation ") + std::to_string(op) + " on " + format_name(format));
  return loop;
}

// The rows of both sides; a row's fill is whole elements.
void place_rows(const Building& b, CopyStep& c) {
  const int64_t bytes = b.arg(kBytes), item = item_size(b.region(0).dtype), fill = b.arg(kFill);
  const int64_t left = fill == kNoFill ? 0 : b.arg(kLeft), right = fill == kNoFill ? 0 : b.arg(kRight);
  if (bytes < 0 || left < 0 || right < 0 || left % item || right % item)
    b.refuse("rows of " + std::to_string(bytes) + " bytes between " + std::to_string(left) + " and " + std::to_string(right) +
             " filled ones; none may be negative, and fills are whole elements of " + std::to_string(item));
  const Extent read(fill == kFirstElement && left + right > 0 ? std::max(bytes, item) : bytes);
  c.dst = b.place(0, Extent(__int128{bytes} + left + right).times(c.inner, b.arg(kDstInner)).times(c.outer, b.arg(kDstOuter)));
  c.src = b.place(1, read.times(c.inner, b.arg(kSrcInner)).times(c.outer, b.arg(kSrcOuter)));
}

void copy(Building& b) {
  if (item_size(b.region(0).dtype) != item_size(b.region(1).dtype)) return widen(b);
  const int64_t w = b.numerics.scale();
  const int format = b.region(0).dtype;
  CopyStep c{};
  c.outer = b.arg(kOuter), c.inner = b.arg(kInner);
  place_rows(b, c);
  c.bytes = b.arg(kBytes) * w;
  c.dst_outer = b.arg(kDstOuter) * w, c.dst_inner = b.arg(kDstInner) * w;
  c.src_outer = b.arg(kSrcOuter) * w, c.src_inner = b.arg(kSrcInner) * w;
  c.fill = b.arg(kFill);
  if (c.fill != kNoFill) c.left = b.arg(kLeft) * w, c.right = b.arg(kRight) * w;
  c.item = item_size(b.numerics.held(format)), c.step = item_size(format) * w;
  if (c.fill == kNumber && !is_packed(format)) store_number(reinterpret_cast<char*>(&c.number), b.numerics.held(format), b.real(0), 0, false);
  c.atomic = atomic_loop(b, b.arg(kAtomicOp), format);
  c.saturate = b.numerics.saturates() && (format == kFloat16 || format == kBFloat16) ? format : -1;
  if (c.outer <= 0 || c.inner <= 0 || c.bytes + c.left + c.right <= 0) return;
  join_rows(c);
  if (c.atomic) b.add<copy_atomic>(c);
  else if (c.left || c.right) b.add<copy_filled>(c);
  else b.add<copy_plain>(c);
}

// ---- row-major matrices to column blocks of 32 bytes, and back ----

struct NzStep {
  Place nz, nd;
  int64_t rows, row_bytes, ld, column, row, matrices, nd_matrix, nz_matrix;  // scaled bytes; column: from column block to column block
  int64_t filled_rows, block, step;
  LoopFn atomic;
};

// Column block by column block, two at a time: a cache line of the source. `fixed`: bytes of a block where the compiler is to know them.
template <int64_t fixed>
void nd_to_nz(Core& core, const NzStep& z) {
  const int64_t block = fixed ? fixed : z.block, whole = z.row_bytes / block, rest = z.row_bytes % block;
  for (int64_t m = 0; m < z.matrices; ++m) {
    char* nz = core.at(z.nz) + m * z.nz_matrix;
    const char* nd = core.at(z.nd) + m * z.nd_matrix;
    for (int64_t b = 0; b < whole; b += 2) {
      char* to = nz + b * z.column;
      const char* from = nd + b * block;
      const bool both = b + 1 < whole;
      for (int64_t r = 0; r < z.rows; ++r, to += z.row, from += z.ld) {
        std::memcpy(to, from, static_cast<size_t>(block));
        if (both) std::memcpy(to + z.column, from + block, static_cast<size_t>(block));
      }
    }
    for (int64_t r = 0; rest && r < z.rows; ++r) {
      char* to = nz + whole * z.column + r * z.row;
      std::memcpy(to, nd + r * z.ld + whole * block, static_cast<size_t>(rest));
      std::memset(to + rest, 0, static_cast<size_t>(block - rest));
    }
    for (int64_t b = 0; b < whole + (rest ? 1 : 0); ++b)
      for (int64_t r = z.rows; r < z.filled_rows; ++r) std::memset(nz + b * z.column + r * z.row, 0, static_cast<size_t>(block));
  }
}

void nd2nz(Building& b) {
  enum Arg : int { kRows, kCols, kSrcLd, kDstRows, kMatrices, kSrcMatrix, kDstMatrix, kDstRow };
  const int64_t w = b.numerics.scale();
  NzStep z{};
  const int64_t rows = b.arg(kRows), filled = std::min(b.arg(kDstRows), rows / 16 * 16 + (rows % 16 ? 16 : 0));
  const __int128 row = __int128{b.arg(kCols)} * item_size(b.region(0).dtype);
  z.nz = b.place(0, Extent(row > 0 ? kBlockBytes : 0).times((row + kBlockBytes - 1) / kBlockBytes, __int128{b.arg(kDstRows)} * kBlockBytes)
                        .times(rows > 0 ? std::max(rows, filled) : 0, b.arg(kDstRow)).times(b.arg(kMatrices), b.arg(kDstMatrix)));
  z.nd = b.place(1, Extent(row).times(rows, b.arg(kSrcLd)).times(b.arg(kMatrices), b.arg(kSrcMatrix)));
  z.rows = b.arg(kRows), z.row_bytes = b.arg(kCols) * item_size(b.region(0).dtype) * w, z.ld = b.arg(kSrcLd) * w;
  z.column = b.arg(kDstRows) * kBlockBytes * w, z.row = b.arg(kDstRow) * w;
  z.matrices = b.arg(kMatrices), z.nd_matrix = b.arg(kSrcMatrix) * w, z.nz_matrix = b.arg(kDstMatrix) * w;
  z.filled_rows = filled;
  z.block = kBlockBytes * w;
  if (z.rows <= 0 || z.row_bytes <= 0 || z.matrices <= 0) return;
  if (w == 1) b.add<nd_to_nz<kBlockBytes>>(z);
  else b.add<nd_to_nz<0>>(z);
}

void nz_to_nd(Core& core, const NzStep& z) {
  const int64_t strides[3] = {z.step, z.step, z.step};
  for (int64_t r = 0; r < z.rows; ++r)
    for (int64_t done = 0, b = 0; done < z.row_bytes; done += z.block, ++b) {
      const int64_t bytes = std::min(z.block, z.row_bytes - done);
      char* to = core.at(z.nd) + r * z.ld + done;
      char* from = core.at(z.nz) + b * z.column + r * z.row;
      char* data[3] = {to, to, from};
      if (z.atomic) z.atomic(data, strides, bytes / z.step);
      else std::memcpy(to, from, static_cast<size_t>(bytes));
    }
}

void nz2nd(Building& b) {
  enum Arg : int { kRows, kCols, kDstLd, kSrcRows, kOp };
  const int64_t w = b.numerics.scale();
  const int format = b.region(0).dtype;
  NzStep z{};
  const __int128 row = __int128{b.arg(kCols)} * item_size(format);
  z.nd = b.place(0, Extent(row).times(b.arg(kRows), b.arg(kDstLd)));
  z.nz = b.place(1, Extent(row > 0 ? kBlockBytes : 0).times((row + kBlockBytes - 1) / kBlockBytes, __int128{b.arg(kSrcRows)} * kBlockBytes)
                        .times(b.arg(kRows), kBlockBytes));
  z.step = item_size(format) * w;
  z.rows = b.arg(kRows), z.row_bytes = b.arg(kCols) * z.step, z.ld = b.arg(kDstLd) * w;
  z.column = b.arg(kSrcRows) * kBlockBytes * w, z.row = z.block = kBlockBytes * w;
  z.atomic = atomic_loop(b, b.arg(kOp), format);
  if (z.rows > 0 && z.row_bytes > 0) b.add<nz_to_nd>(z);
}

// ---- constants ----

struct FillStep {
  Place dst;
  int64_t bytes, number, step, item;
};
void run_fill(Core& core, const FillStep& f) { fill_items(core.at(f.dst), f.bytes, &f.number, f.step, f.item); }

FillStep fill_of(const Building& b, int64_t bytes, double real, int64_t integer, bool use_integer) {
  const int format = b.region(0).dtype, held = b.numerics.held(format);
  const int64_t items = bytes / item_size(format) + (bytes % item_size(format) ? 1 : 0);
  FillStep f{b.place(0, Extent(__int128{items} * item_size(format))), bytes * b.numerics.scale(), 0, item_size(format) * b.numerics.scale(), item_size(held)};
  store_number(reinterpret_cast<char*>(&f.number), held, real, integer, use_integer);
  return f;
}

void fill(Building& b) { b.add<run_fill>(fill_of(b, b.arg(0), b.real(0), 0, false)); }
void set_value(Building& b) {  // one element
  b.add<run_fill>(fill_of(b, item_size(b.region(0).dtype), b.real(0), b.arg(1), b.arg(0) == 1));
}

void walked(Building&) {}  // the walker has done it

constexpr MeaningEntry kEntries[] = {{"copy", copy}, {"nd2nz", nd2nz}, {"nz2nd", nz2nd}, {"fill", fill}, {"set_value", set_value}, {"scalar_math", walked}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
