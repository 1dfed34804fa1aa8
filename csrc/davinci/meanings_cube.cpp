// The cube's instructions: fractals from L1 to L0, products, and results to GM, L1 or UB.
#include "davinci/cube.h"

#include "davinci/vector.h"
#include "kernel.h"

namespace al::davinci {
namespace {

constexpr int64_t kSide = 16, kFractal = 512;

int64_t numbers_a_row(int format) { return is_packed(format) ? 64 : kBlockBytes / item_size(format); }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- LoadA, LoadB, LoadData: fractal (i, j) holds lines [16 i, 16 i + 16) and their numbers [c0 j, c0 j + c0) ----

struct LoadStep {
  Place dst, src;
  int64_t count_i, count_j, dst_i, dst_j, src_i, src_j;  // fractals; scaled bytes
  int64_t fractal;   // scaled bytes of one
  int64_t src_rows;  // turned by elements: rows of a column block of the source
  int64_t blocks, rows;  // turned by elements: column blocks that the source has, and rows of them; what is beyond stays as it was
  int64_t step, item, c0;
  LoopFn turn;
};

void load_straight(Core& core, const LoadStep& l) {
  for (int64_t i = 0; i < l.count_i; ++i)
    for (int64_t j = 0; j < l.count_j; ++j)
      std::memcpy(core.at(l.dst) + i * l.dst_i + j * l.dst_j, core.at(l.src) + i * l.src_i + j * l.src_j, static_cast<size_t>(l.fractal));
}

void load_turned_16(Core& core, const LoadStep& l) {
  const int64_t strides[] = {l.dst_j, l.src_j};
  for (int64_t i = 0; i < l.count_i; ++i) {
    char* data[] = {core.at(l.dst) + i * l.dst_i, core.at(l.src) + i * l.src_i};
    l.turn(data, strides, l.count_j);
  }
}

// A fractal's 16 lines are two column blocks of the source.
void load_turned_32(Core& core, const LoadStep& l) {
  const int64_t strides[] = {l.dst_j, l.c0 * kBlockBytes};
  for (int64_t i = 0; i < std::min(2 * l.count_i, l.blocks); ++i) {
    char* data[] = {core.at(l.dst) + i / 2 * l.dst_i + i % 2 * kFractal / 2, core.at(l.src) + i * l.src_rows * kBlockBytes};
    l.turn(data, strides, l.count_j);
  }
}

// Any width, one element after the other: line X and number Y of the fractals are row Y, column X of the source.
void load_turned(Core& core, const LoadStep& l) {
  const int64_t row = l.fractal / kSide;
  for (int64_t i = 0; i < l.count_i; ++i)
    for (int64_t j = 0; j < l.count_j; ++j)
      for (int64_t x = 0; x < kSide; ++x)
        for (int64_t y = 0; y < l.c0; ++y) {
          const int64_t line = i * kSide + x, number = j * l.c0 + y;
          if (line / l.c0 >= l.blocks || number >= l.rows) continue;
          const char* from = core.at(l.src) + line / l.c0 * l.src_rows * row + number * row + line % l.c0 * l.step;
          char* to = core.at(l.dst) + i * l.dst_i + j * l.dst_j + x * row + y * l.step;
          std::memcpy(to, from, static_cast<size_t>(l.item));
        }
}

void add_load(Building& b, LoadStep& l, bool turned, const Extent& read) {
  const int format = b.region(0).dtype;
  const int64_t w = b.numerics.scale();
  l.dst = b.place(0, Extent(kFractal).times(l.count_i, l.dst_i / w).times(l.count_j, l.dst_j / w)), l.src = b.place(1, read);
  if (l.count_i <= 0 || l.count_j <= 0) return;
  l.step = item_size(format) * b.numerics.scale(), l.item = item_size(b.numerics.held(format)), l.c0 = numbers_a_row(format);
  if (!turned) return b.add<load_straight>(l);
  if (is_packed(format)) b.refuse(std::string("cannot transpose ") + format_name(format));
  if (!b.numerics.wide() && item_size(format) == 4) {
    l.turn = find_loop("davinci.turn32", 0);
    return b.add<load_turned_32>(l);
  }
  if (b.numerics.wide() || item_size(format) != 2) return b.add<load_turned>(l);
  l.turn = find_loop("davinci.turn16", 0);
  b.add<load_turned_16>(l);
}

// `lines` of A's rows or B's columns; `turned`: the source holds the numbers of a line below each other.
void load_l0(Building& b, int64_t lines, int64_t numbers, bool turned, bool lines_first) {
  enum Arg : int { kSrcRows = 2 };
  const int64_t w = b.numerics.scale(), column = b.arg(kSrcRows) * kBlockBytes * w, c0 = numbers_a_row(b.region(0).dtype);
  LoadStep l{};
  l.fractal = kFractal * w, l.src_rows = b.arg(kSrcRows);
  l.count_i = ceil_div(lines, kSide), l.count_j = ceil_div(numbers, c0);
  l.dst_i = (lines_first ? l.count_j : 1) * l.fractal;
  l.dst_j = (lines_first ? 1 : l.count_i) * l.fractal;
  l.src_i = turned ? column : l.fractal;  // of two-byte formats: 16 lines are a column block
  l.src_j = turned ? l.fractal : column;
  l.blocks = ceil_div(lines, c0), l.rows = ceil_div(numbers, kSide) * kSide;
  const __int128 pitch = __int128{l.src_rows} * kBlockBytes;
  add_load(b, l, turned, turned ? Extent(kBlockBytes).times(l.rows, kBlockBytes).times(l.blocks, pitch)
                                : Extent(kFractal).times(l.count_i, kFractal).times(l.count_j, pitch));
}

void load_a(Building& b) {
  enum Arg : int { kM, kK, kSrcRows, kTranspose, kLayout };
  load_l0(b, b.arg(kM), b.arg(kK), b.arg(kTranspose) != 0, b.arg(kLayout) == 0);
}
void load_b(Building& b) {
  enum Arg : int { kK, kN, kSrcRows, kTranspose };
  load_l0(b, b.arg(kN), b.arg(kK), b.arg(kTranspose) == 0, false);
}
void load2d(Building& b) {
  enum Arg : int { kRepeat, kSrcStride, kDstStride, kTranspose };
  const int64_t w = b.numerics.scale();
  LoadStep l{};
  l.fractal = kFractal * w, l.src_rows = kSide;
  const bool turned = b.arg(kTranspose) != 0;
  if (turned && item_size(b.region(0).dtype) != 2) b.refuse("transposes formats of two bytes only");
  l.count_i = b.arg(kRepeat), l.count_j = 1;
  l.dst_i = b.arg(kDstStride) * w, l.src_i = b.arg(kSrcStride) * w;
  const Extent read = Extent(kFractal).times(l.count_i, b.arg(kSrcStride));
  if (!turned || !b.numerics.wide()) return add_load(b, l, turned, read);
  l.dst = b.place(0, Extent(kFractal).times(l.count_i, b.arg(kDstStride))), l.src = b.place(1, read);
  l.blocks = 1, l.rows = kSide;
  for (int64_t i = 0; i < l.count_i; ++i) {  // each fractal stands for itself
    LoadStep one = l;
    one.count_i = 1;
    one.dst.offset += i * l.dst_i, one.src.offset += i * l.src_i;
    one.step = item_size(b.region(0).dtype) * w, one.item = item_size(b.numerics.held(b.region(0).dtype)), one.c0 = kSide;
    b.add<load_turned>(one);
  }
}

// ---- LoadData3D: rows of 32 bytes of an image, by output pixel and filter position ----

struct ImageStep {
  Place dst, src;
  int64_t h, w, k_extent, m_extent, k_start, m_start, stride_w, stride_h, filter_w, filter_h, dilation_w, dilation_h;
  int64_t pad_left, pad_top, out_w, c0, m_blocks, k_blocks;
  int64_t row, step, item, pad;  // scaled bytes of 32; element; the padding number's bytes
  bool by_row;                   // fractals row by row of A (Zz), else column by column
  LoopFn turn;                   // of a fractal; null: element by element
};

// The 16 lines of a fractal that begins at pixel m of the extent and column k of it, one behind the other.
void image_lines(Core& core, const ImageStep& s, int64_t m, int64_t k, char* to) {
  const int64_t position = (s.k_start + k) / s.c0;
  const int64_t fw = position % s.filter_w, fh = position / s.filter_w % s.filter_h, c1 = position / (s.filter_w * s.filter_h);
  for (int64_t line = 0; line < kSide && m + line < s.m_extent; ++line, to += s.row) {
    const int64_t pixel = s.m_start + m + line;
    const int64_t y = pixel / s.out_w * s.stride_h - s.pad_top + fh * s.dilation_h;
    const int64_t x = pixel % s.out_w * s.stride_w - s.pad_left + fw * s.dilation_w;
    if (y >= 0 && y < s.h && x >= 0 && x < s.w) {
      std::memcpy(to, core.at(s.src) + ((c1 * s.h + y) * s.w + x) * s.row, static_cast<size_t>(s.row));
    } else {
      for (int64_t i = 0; i < s.c0; ++i) std::memcpy(to + i * s.step, &s.pad, static_cast<size_t>(s.item));
    }
  }
}

void run_load3d(Core& core, const ImageStep& s) {
  for (int64_t m = 0; m < s.m_blocks; ++m)
    for (int64_t k = 0; k < s.k_blocks; ++k) {
      const int64_t fractal = s.by_row ? m * s.k_blocks + k : k * s.m_blocks + m;
      image_lines(core, s, m * kSide, k * s.c0, core.at(s.dst) + fractal * kSide * s.row);
    }
}

// Pixels are the numbers of a line here; those of the last fractal that are not there become zeros.
void run_load3d_turned(Core& core, const ImageStep& s) {
  constexpr int64_t kWidest = 8;  // scale of the mode fp64
  alignas(64) char lines[kFractal * kWidest] = {};
  const int64_t strides[] = {0, 0};
  for (int64_t m = 0; m < s.m_blocks; ++m)
    for (int64_t k = 0; k < s.k_blocks; ++k) {
      if ((m + 1) * kSide > s.m_extent) std::memset(lines, 0, sizeof lines);
      image_lines(core, s, m * kSide, k * s.c0, lines);
      char* to = core.at(s.dst) + (s.by_row ? k * s.m_blocks + m : m * s.k_blocks + k) * kSide * s.row;
      if (s.turn) {
        char* data[] = {to, lines};
        s.turn(data, strides, 1);
        continue;
      }
      for (int64_t x = 0; x < kSide; ++x)
        for (int64_t y = 0; y < kSide; ++y)
          std::memcpy(to + x * s.row + y * s.step, lines + y * s.row + x * s.step, static_cast<size_t>(s.item));
    }
}

constexpr int64_t kMostField = 1 << 20;  // beyond every field of LoadData3D, and products of two are numbers still

void load3d(Building& b) {
  enum Arg : int { kH, kW, kChannels, kKExtent, kMExtent, kKStart, kMStart, kStrideW, kStrideH, kFilterW, kFilterH, kDilationW, kDilationH,
                   kPadLeft, kPadRight, kPadTop, kPadBottom, kTranspose, kLayout };
  const int format = b.region(0).dtype;
  if (is_packed(format)) b.refuse(std::string("does not load ") + format_name(format));
  const bool turned = b.arg(kTranspose) != 0;
  if (turned && item_size(format) != 2) b.refuse("transposes formats of two bytes only");
  ImageStep s{};
  s.h = b.arg(kH), s.w = b.arg(kW), s.k_extent = b.arg(kKExtent), s.m_extent = b.arg(kMExtent), s.k_start = b.arg(kKStart),
  s.m_start = b.arg(kMStart), s.stride_w = b.arg(kStrideW), s.stride_h = b.arg(kStrideH), s.filter_w = b.arg(kFilterW),
  s.filter_h = b.arg(kFilterH), s.dilation_w = b.arg(kDilationW), s.dilation_h = b.arg(kDilationH), s.pad_left = b.arg(kPadLeft),
  s.pad_top = b.arg(kPadTop);
  s.c0 = numbers_a_row(format);
  if (s.k_start % s.c0) b.refuse("k_start is " + std::to_string(s.k_start) + "; it must be a multiple of " + std::to_string(s.c0));
  for (int i = kH; i <= kPadBottom; ++i)
    if (b.arg(i) < 0 || b.arg(i) > kMostField) b.refuse("argument " + std::to_string(i) + " is " + std::to_string(b.arg(i)) + "; its field holds no such number");
  if (s.filter_w < 1 || s.filter_h < 1) b.refuse("the filter is empty");
  const int64_t span = s.w + s.pad_left + b.arg(kPadRight) - (s.filter_w - 1) * s.dilation_w - 1;
  if (span < 0 || s.stride_w <= 0) b.refuse("the filter is wider than the padded image");
  s.out_w = span / s.stride_w + 1;
  s.m_blocks = ceil_div(s.m_extent, kSide), s.k_blocks = ceil_div(s.k_extent, s.c0);
  const int64_t images = s.k_blocks ? (s.k_start / s.c0 + s.k_blocks - 1) / (s.filter_w * s.filter_h) + 1 : 0;
  s.dst = b.place(0, Extent(__int128{s.m_blocks} * s.k_blocks * kFractal)), s.src = b.place(1, Extent(__int128{s.h} * s.w * kBlockBytes * (s.m_extent ? images : 0)));
  s.row = kBlockBytes * b.numerics.scale(), s.step = item_size(format) * b.numerics.scale(), s.item = item_size(b.numerics.held(format));
  store_number(reinterpret_cast<char*>(&s.pad), b.numerics.held(format), b.real(0), 0, false);
  s.by_row = b.region(0).memory == kL0A && b.arg(kLayout) == 0;
  if (!turned) return b.add<run_load3d>(s);
  s.turn = b.numerics.wide() ? nullptr : find_loop("davinci.turn16", 0);
  b.add<run_load3d_turned>(s);
}

// ---- Mmad ----

struct MmadStep {
  Place c, a, b, bias;
  LoopFn product;
  int64_t sizes[kNumMmadSizes];
  int64_t item;       // nominal itemsize of a and b
  int64_t bias_step;  // scaled bytes of a result; 0: no bias
};

// C's blocks begin as the bias of their columns, in every row.
void spread_bias(Core& core, const MmadStep& s) {
  constexpr int64_t plain = kSide * sizeof(float);  // known to the compiler: a store
  const int64_t m16 = ceil_div(s.sizes[kMmadM], kSide) * kSide, row = kSide * s.bias_step;
  for (int64_t x = 0; x < s.sizes[kMmadN]; x += kSide) {
    const char* from = core.at(s.bias) + x * s.bias_step;
    char* to = core.at(s.c) + x * m16 * s.bias_step;
    const int64_t bytes = std::min(kSide, s.sizes[kMmadN] - x) * s.bias_step;
    for (int64_t r = 0; r < s.sizes[kMmadM]; ++r, to += row)
      if (bytes == plain) std::memcpy(to, from, plain);
      else std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

void run_mmad(Core& core, const MmadStep& s) {
  if (s.bias_step) spread_bias(core, s);
  char* data[] = {core.at(s.c), core.at(s.a), core.at(s.b)};
  s.product(data, s.sizes, s.item);
}

constexpr int64_t kMostSide = 4095;

void mmad(Building& b) {
  enum Arg : int { kM, kN, kK, kInit, kUnitFlag, kHf32, kLayout };
  enum Init : int64_t { kAccumulate, kOverwrite, kBias };
  const int format = b.region(1).dtype, result = b.region(0).dtype, held = b.numerics.held(format);
  if (item_size(result) != 4) b.refuse(std::string("results are float32 or int32 on the emulated cube, not ") + format_name(result));
  if (b.numerics.wide() && is_packed(format)) b.refuse(std::string("has no wide form of ") + format_name(format) + "; use the mode \"device\"");
  const std::string name = std::string(b.numerics.wide() ? "davinci.mmad_wide " : "davinci.mmad ") + format_name(held) + " " +
                           format_name(b.numerics.held(b.region(2).dtype));
  MmadStep s{};
  s.product = find_loop(name.c_str(), 0);
  if (!s.product || item_size(format) != item_size(b.region(2).dtype))
    b.refuse(std::string("no product of ") + format_name(format) + " and " + format_name(b.region(2).dtype));
  const int64_t m = b.arg(kM), n = b.arg(kN), k = b.arg(kK), c0 = numbers_a_row(format);
  if (m <= 0 || n <= 0 || k <= 0) return;
  for (int64_t size : {m, n, k})
    if (size > kMostSide) b.refuse("a side is " + std::to_string(size) + "; it must be at most " + std::to_string(kMostSide));
  const int64_t m16 = ceil_div(m, kSide), n16 = ceil_div(n, kSide), kc = ceil_div(k, c0);
  s.c = b.place(0, Extent(m16 * n16 * kSide * kSide * item_size(result)));
  s.a = b.place(1, Extent(m16 * kc * kFractal)), s.b = b.place(2, Extent(kc * n16 * kFractal));
  const bool towards_zero = b.numerics.options & kHf32TowardZero;
  const int64_t hf32 = b.arg(kHf32) && format == kFloat32 && !b.numerics.wide() ? (towards_zero ? 2 : 1) : 0;
  const int64_t sizes[] = {m, n, k, b.arg(kInit) != kOverwrite, hf32, b.arg(kLayout), b.numerics.scale()};
  std::copy(std::begin(sizes), std::end(sizes), s.sizes);
  s.item = item_size(format);
  if (b.arg(kInit) == kBias) s.bias = b.place(3, Extent(n * item_size(result))), s.bias_step = item_size(result) * b.numerics.scale();
  b.add<run_mmad>(s);
}

constexpr MeaningEntry kEntries[] = {{"load_a", load_a}, {"load_b", load_b}, {"load2d", load2d}, {"load3d", load3d}, {"mmad", mmad}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
