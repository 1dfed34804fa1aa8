// Flat, resolved instructions: what the executor runs, and how a meaning turns an instruction into them.
#pragma once
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "davinci/core.h"
#include "davinci/extent.h"

namespace al::davinci {

using StepFn = void (*)(Core& core, const int64_t* payload);

// A list of steps in one run of memory: each is a function, its length in words and site, and a payload.
class Steps {
 public:
  template <class Payload>
  void add(StepFn run, int32_t site, const Payload& payload) {
    static_assert(std::is_trivially_copyable_v<Payload> && alignof(Payload) <= 8);
    constexpr int64_t words = kHead + (sizeof(Payload) + 7) / 8;
    const size_t at = words_.size();
    words_.resize(at + words);
    std::memcpy(&words_[at], &run, sizeof run);
    words_[at + 1] = words | int64_t(site) << 32;
    std::memcpy(&words_[at + kHead], &payload, sizeof payload);
  }
  size_t size() const { return words_.size(); }
  void clear() { words_.clear(); }
  void shrink() { words_.shrink_to_fit(); }
  void run(Core& core, size_t begin, size_t end) const {
    const int64_t* stop = words_.data() + end;
    for (const int64_t* w = words_.data() + begin; w < stop; w += w[1] & 0xffffffff) {
      StepFn function;
      std::memcpy(&function, w, sizeof function);
      function(core, w + kHead);
    }
  }

 private:
  static constexpr int64_t kHead = 2;
  std::vector<int64_t> words_;
};

constexpr int64_t kMostStride = int64_t{1} << 32;

// What a meaning sees of the instruction that it turns into steps.
struct Building {
  const Program& program;
  const Instr& instr;
  const Numerics& numerics;
  const double* scalars;  // values of the scalar slots
  Steps& steps;

  const Region& region(int i) const {
    if (i >= instr.nregions) refuse("has " + std::to_string(instr.nregions) + " operands; one more is needed");
    return instr.regions[i];
  }
  int64_t arg(int i) const {
    if (i >= instr.nargs) refuse("has " + std::to_string(instr.nargs) + " arguments; one more is needed");
    return instr.args[i];
  }
  int64_t arg_or(int i, int64_t otherwise) const { return i < instr.nargs ? instr.args[i] : otherwise; }
  // Refuses operands of different widths: a loop takes them element for element.
  void same_width(int i, int j) const {
    if (item_size(region(i).dtype) != item_size(region(j).dtype))
      refuse("operands " + std::to_string(i) + " and " + std::to_string(j) + " are " + format_name(region(i).dtype) + " and " + format_name(region(j).dtype) + "; they must have the same width");
  }
  // A stride, small enough to be counted in bytes.
  int64_t stride(int i) const {
    if (arg(i) < -kMostStride || arg(i) > kMostStride) refuse("a stride is " + std::to_string(arg(i)) + "; no field holds it");
    return arg(i);
  }
  double real(int i, double otherwise = 0) const { return i < instr.nfloats ? instr.value(i, scalars) : otherwise; }
  // Where operand i lies. `reached`: what the step will touch of it, by the arguments; it must be what the region declares, since the
  // check and the bounds know the region alone.
  Place place(int i, const Extent& reached) const {
    const Region& r = region(i);
    if (const Extent declared = extent_of(r); !reached.within(declared))
      refuse("its arguments reach bytes " + reached.text() + " of operand " + std::to_string(i) + ", whose region is " + declared.text() + "; make them agree");
    return {r.memory == kGM ? int32_t(kNumMemories) + r.tensor : int32_t(r.memory), r.base * numerics.scale()};
  }
  [[noreturn]] void refuse(const std::string& why) const {
    throw std::invalid_argument(program.declarations[instr.opcode].name + ": " + why);
  }
  // Adds a step: Run is a function of (Core&, const Payload&).
  template <auto Run, class Payload>
  void add(const Payload& payload) {
    steps.add([](Core& core, const int64_t* words) { Run(core, *reinterpret_cast<const Payload*>(words)); }, instr.site, payload);
  }
};

// Turns one instruction into steps; throws std::invalid_argument for what the card does not do.
using Meaning = void (*)(Building& b);

// The meanings by name; null when there is none.
Meaning find_meaning(const std::string& name);
// Whether a meaning reaches its operands only through Building::place, so that they may lie in any memory.
bool is_movable(const std::string& name);

// A file-level registrar, for the meanings of a file.
struct MeaningEntry {
  const char* name;
  Meaning meaning;
  bool movable = false;
};
struct MeaningTable {
  const MeaningEntry* begin;
  const MeaningEntry* end;
  MeaningTable* next;
  static MeaningTable*& head();
  template <size_t n>
  explicit MeaningTable(const MeaningEntry (&entries)[n]) : begin(entries), end(entries + n), next(head()) { head() = this; }
};

}  // namespace al::davinci
