// Element-wise arithmetic of the vector unit: which loop each meaning is, by format.
#include "davinci/vector.h"

namespace al::davinci {
namespace {

enum Shape : int { kUnary = 2, kBinary = 3 };

struct Row {
  const char* meaning;
  const char* loop;           // entry in the library of loops
  const char* unsigned_loop;  // of unsigned formats of 16 bits and more, if it differs
  Shape shape;                // regions
  int scalars;                // inputs that come from floats[] or the scalar argument
  bool in_place;              // the destination is read
  bool bits = false;          // works on bits, not on numbers
};

constexpr Row kRows[] = {
    {"add", "add", nullptr, kBinary, 0, false},
    {"sub", "sub", nullptr, kBinary, 0, false},
    {"mul", "mul", nullptr, kBinary, 0, false},
    {"div", "div", "davinci.div_u", kBinary, 0, false},
    {"max", "maximum", "davinci.max_u", kBinary, 0, false},
    {"min", "minimum", "davinci.min_u", kBinary, 0, false},
    {"and", "bitwise_and", nullptr, kBinary, 0, false, true},
    {"or", "bitwise_or", nullptr, kBinary, 0, false, true},
    {"add_relu", "davinci.add_relu", nullptr, kBinary, 0, false},
    {"sub_relu", "davinci.sub_relu", nullptr, kBinary, 0, false},
    {"mul_add_dst", "davinci.mul_add_dst", nullptr, kBinary, 0, true},
    {"fused_mul_add", "davinci.fused_mul_add", nullptr, kBinary, 0, true},
    {"fused_mul_add_relu", "davinci.fused_mul_add_relu", nullptr, kBinary, 0, true},
    {"adds", "add", nullptr, kUnary, 1, false},
    {"muls", "mul", nullptr, kUnary, 1, false},
    {"maxs", "maximum", "davinci.max_u", kUnary, 1, false},
    {"mins", "minimum", "davinci.min_u", kUnary, 1, false},
    {"leaky_relu", "leaky_relu", nullptr, kUnary, 1, false},
    {"axpy", "davinci.mul_add_dst", nullptr, kUnary, 1, true},
    {"shl", "davinci.shl", nullptr, kUnary, 1, false},
    {"shr", "davinci.shr", "davinci.shr_u", kUnary, 1, false},
    {"exp", "exp", nullptr, kUnary, 0, false},
    {"ln", "log", nullptr, kUnary, 0, false},
    {"abs", "abs", nullptr, kUnary, 0, false},
    {"rec", "reciprocal", nullptr, kUnary, 0, false},
    {"sqrt", "sqrt", nullptr, kUnary, 0, false},
    {"rsqrt", "rsqrt", nullptr, kUnary, 0, false},
    {"relu", "relu", nullptr, kUnary, 0, false},
    {"not", "bitwise_not", nullptr, kUnary, 0, false, true},
};

const Row& row_of(const std::string& meaning) {
  for (const Row& r : kRows)
    if (meaning == r.meaning) return r;
  throw std::logic_error(meaning + ": not an element-wise meaning");
}

const char* loop_name(const Row& r, const Building& b, int format) {
  const bool low = b.numerics.options & kLowPrecision && !b.numerics.wide();
  if (low && r.loop == std::string("reciprocal")) return "davinci.rec_low";
  if (low && r.loop == std::string("rsqrt")) return "davinci.rsqrt_low";
  if (r.unsigned_loop && is_unsigned(format) && format != kUInt8) return r.unsigned_loop;
  if (r.loop == std::string("div") && !is_float_format(format)) return "davinci.div";
  return r.loop;
}

// Bits of a row of numbers in a wide memory: all bytes of their room, so that a mask is the same whatever width it is taken as.
template <int N>
bool add_bits(Building& b, const char* loop) {
  if (!b.numerics.wide() || b.arg(kHeadMode) != 0) return false;
  Elementwise<N> e{};
  e.loop = find_loop(loop, kUInt8);
  e.lanes = {1, b.arg(kHeadCount) * item_size(b.region(0).dtype) * b.numerics.scale(), false, {}};
  for (int k = 0; k < N; ++k) e.operands[k] = {b.place(k, Extent(__int128{b.arg(kHeadCount)} * item_size(b.region(0).dtype))), kBlockBytes, 0, kBlockBytes, 1, 1, true};
  e.saturate = -1;
  if (e.lanes.lanes > 0) b.add<run_elementwise<N>>(e);
  return true;
}

void elementwise(Building& b) {
  const Row& r = row_of(b.program.declarations[b.instr.opcode].meaning);
  if (r.bits && (r.shape == kBinary ? add_bits<3>(b, r.loop) : add_bits<2>(b, r.loop))) return;
  if (r.shape == kBinary && !r.in_place && add_blockwise(b, r.loop)) return;
  const int out = b.region(0).dtype, in = b.region(1).dtype, held_out = b.numerics.held(out), held_in = b.numerics.held(in);
  LoopFn loop = nullptr;
  if (held_out == kFloat32 && held_in == kFloat32 && r.scalars == 1 && !r.in_place)
    loop = find_loop((std::string("davinci.number ") + r.loop).c_str(), kFloat32);
  if (loop) return add_elementwise<2>(b, loop, 1);
  if (held_out == held_in) loop = find_loop(loop_name(r, b, held_out), held_out);
  else loop = r.in_place && held_in == kFloat16 && held_out == kFloat32 ? find_loop("davinci.mul_add_mixed", kFloat16) : nullptr;
  if (!loop) b.refuse(std::string("no meaning for ") + format_name(in) + " to " + format_name(out));
  if (r.shape == kBinary) add_elementwise<3>(b, loop, r.scalars, r.in_place);
  else add_elementwise<2>(b, loop, r.scalars, r.in_place);
}

void duplicate(Building& b) { add_elementwise<1>(b, find_mover(b.numerics.held(b.region(0).dtype)), 1); }
void vector_copy(Building& b) {
  b.same_width(0, 1);
  add_elementwise<2>(b, find_mover(b.numerics.held(b.region(0).dtype)));
}

struct Entries {
  MeaningEntry rows[std::size(kRows) + 2];
  Entries() {
    size_t i = 0;
    for (const Row& r : kRows) rows[i++] = {r.meaning, elementwise, true};
    rows[i++] = {"duplicate", duplicate, true};
    rows[i++] = {"vector_copy", vector_copy, true};
  }
};
const Entries entries;
const MeaningTable table(entries.rows);

}  // namespace
}  // namespace al::davinci
