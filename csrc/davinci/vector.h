// The driver that all vector instructions share: it cuts their repeats, blocks and masks into plain runs of elements.
#pragma once
#include <algorithm>

#include "abi.h"
#include "davinci/steps.h"

namespace al::davinci {

constexpr int kBlockBytes = 32, kRepeatBytes = 256;

// The arguments that every vector instruction begins with (VECTOR_HEAD in ascendlite/npu/lang/vector_instructions.py).
enum Head : int {
  kHeadMode, kHeadCount, kHeadMaskHigh, kHeadRepeat, kHeadDstBlock, kHeadSrc0Block, kHeadSrc1Block, kHeadDstRep, kHeadSrc0Rep,
  kHeadSrc1Rep, kHeadScalarKind, kHeadScalar, kHeadEnd
};

// Which elements an instruction works on: `repeats` times the first `lanes`, less those whose bit is off if `masked`.
struct Lanes {
  int64_t repeats, lanes;
  bool masked;
  uint64_t mask[2];
  bool active(int64_t lane) const { return !masked || (mask[lane >> 6] >> (lane & 63) & 1); }
};

// Where the elements of one operand lie, in scaled bytes.
struct Elements {
  Place place;
  int64_t block, repeat;  // from one 32-byte block, one repeat to the next
  int32_t per_block;      // elements a block
  int32_t step, item;     // from element to element; bytes that hold one
  bool direct;            // the lanes of a repeat lie side by side and as they are held
};

// Number of lanes and repeats; `widest`: the largest itemsize of the operands.
Lanes lanes_of(const Building& b, int widest);
// The largest itemsize of the first n operands.
int widest_of(const Building& b, int n);
// Operand i of the instruction, with its strides in the given arguments.
Elements elements_of(const Building& b, const Lanes& lanes, int i, int block_arg, int repeat_arg);
// The bytes that lanes take whose elements have `item` bytes, with blocks and repeats so many bytes apart.
Extent reach_of(const Lanes& lanes, int item, int64_t block, int64_t repeat);
// Joins repeats that lie behind each other into one run. `all`: the operands.
void merge_repeats(Lanes& lanes, Elements* all, int n);

// Copies lanes [begin, begin + n) of a repeat that starts at `from` side by side, and back (active lanes only).
void gather_lanes(const Elements& e, const char* from, int64_t begin, int64_t n, char* to);
void scatter_lanes(const Elements& e, const Lanes& lanes, char* to, int64_t begin, int64_t n, const char* from);

constexpr int64_t kChunk = 1024;  // elements that go through a buffer at once: 4 buffers x 1024 x 8 B = 32 KiB of stack

// The loop of an element-wise operation in the library of the machine's instruction set.
LoopFn find_loop(const char* name, int format);
// The loop that moves elements of a held format as they are.
LoopFn find_mover(int format);

// dst = f(inputs..), element by element: operand 0 is the destination.
template <int N>
struct Elementwise {
  LoopFn loop;
  Lanes lanes;
  Elements operands[N];
  int32_t scalars;       // further inputs of the loop that are the same for all elements
  int32_t saturate;      // format to saturate, or -1
  int64_t scalar[2];     // their bytes
  bool in_place;         // the destination is the first input, too
};

// Saturates float16 or bfloat16 values (see kSaturate); whether one of them was not finite.
bool saturate(int format, char* values, int64_t n);

// Calls body(data, repeat, begin, n) for runs of the instruction's elements: data[k] holds lanes [begin, begin + n) of operand k
// side by side, in place or in a buffer, and operand 0 is written back. `reads`: operand 0 is an input, too.
template <int N, class Body>
void for_runs(Core& core, const Lanes& lanes, const Elements (&operands)[N], bool reads, Body&& body) {
  alignas(64) char buffers[N][kChunk * 8];
  char *base[N], *data[N];
  const bool to_buffer = !operands[0].direct || lanes.masked;
  bool all_direct = !to_buffer;
  for (int k = 1; k < N; ++k) all_direct = all_direct && operands[k].direct;
  for (int64_t r = 0; r < lanes.repeats; ++r) {
    for (int k = 0; k < N; ++k) base[k] = core.at(operands[k].place) + r * operands[k].repeat;
    int64_t n = all_direct ? lanes.lanes : std::min(kChunk, lanes.lanes);
    for (int64_t begin = 0; begin < lanes.lanes; begin += n) {
      n = std::min(n, lanes.lanes - begin);
      for (int k = 0; k < N; ++k) {
        const bool copied = k == 0 ? to_buffer : !operands[k].direct;
        data[k] = copied ? buffers[k] : base[k] + begin * operands[k].item;
        if (copied && (k > 0 || reads)) gather_lanes(operands[k], base[k], begin, n, buffers[k]);
      }
      body(data, r, begin, n);
      if (to_buffer) scatter_lanes(operands[0], lanes, base[0], begin, n, buffers[0]);
    }
  }
}

// dst = f(a, b) of whole float blocks with strides, in device memories: `loop` walks them itself.
struct BlockwiseStep {
  LoopFn loop;
  Place operands[3];
  int64_t sizes[8];  // BlockSize
};

template <int N>
void run_elementwise(Core& core, const Elementwise<N>& e) {
  char* inputs[N + 4];
  int64_t strides[N + 4];
  const int first = e.in_place ? 2 : 1;  // index of operand 1 among the loop's
  for (int k = 1; k < N; ++k) strides[first + k - 1] = e.operands[k].item;
  for (int s = 0; s < e.scalars; ++s) {
    inputs[first + N - 1 + s] = reinterpret_cast<char*>(const_cast<int64_t*>(&e.scalar[s]));
    strides[first + N - 1 + s] = 0;
  }
  strides[0] = strides[1] = e.operands[0].item;
  if (N > 1 && !e.in_place) strides[1] = e.operands[N > 1].item;
  if (N == 1 && e.scalars) strides[1] = 0;
  for_runs(core, e.lanes, e.operands, e.in_place, [&](char* const* data, int64_t, int64_t, int64_t n) {
    inputs[0] = data[0];
    if (e.in_place) inputs[1] = data[0];
    for (int k = 1; k < N; ++k) inputs[first + k - 1] = data[k];
    e.loop(inputs, strides, n);
    if (e.saturate >= 0 && saturate(e.saturate, data[0], n)) core.overflow = true;
  });
}

// Adds the step of an operation on the first N regions. `scalars`: how many of floats[] are further inputs, held in
// scalar_format (-1: that of the first source).
template <int N>
void add_elementwise(Building& b, LoopFn loop, int scalars = 0, bool in_place = false, int scalar_format = -1);

// The same for a binary operation on float blocks with strides, in one call; false when the instruction is none.
bool add_blockwise(Building& b, const std::string& loop_name);

}  // namespace al::davinci
