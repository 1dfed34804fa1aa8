#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "davinci/bind.h"
#include "davinci/heap.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

void* heap_alloc(int die, size_t bytes) noexcept {
  try {
    return heap(die).alloc(bytes);
  } catch (...) {
    return nullptr;
  }
}
void heap_free(int die, void* p) noexcept { heap(die).free(static_cast<char*>(p)); }

Heap& checked(int die) {
  if (die < 0 || die >= kMaxDies) throw py::index_error("npu: die " + std::to_string(die) + " of " + std::to_string(kMaxDies));
  return heap(die);
}

void configure(int die, int64_t capacity, int wide) {
  if (capacity < 0 || (wide != 1 && wide != 4 && wide != 8))
    throw py::value_error("heap: " + std::to_string(capacity) + " bytes, elements " + std::to_string(wide) + " times as wide; that is 1, 4 or 8");
  checked(die).configure(capacity, wide);
}

py::dict stats(int die) {
  HeapStats s = checked(die).stats();
  py::dict d;
  d["allocated_bytes.all.current"] = s.allocated, d["allocated_bytes.all.peak"] = s.peak_allocated;
  d["reserved_bytes.all.current"] = s.reserved, d["reserved_bytes.all.peak"] = s.peak_reserved;
  d["active.all.current"] = s.blocks, d["allocation.all.allocated"] = s.allocations, d["num_ooms"] = s.failures;
  return d;
}

// The smallest and the largest of `count` integers, `step` bytes apart.
template <class T>
std::pair<int64_t, int64_t> extremes_of(const char* p, int64_t count, int64_t step) {
  T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::min();
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, p + i * step, sizeof value);
    low = std::min(low, value), high = std::max(high, value);
  }
  return {low, high};
}

std::pair<int64_t, int64_t> extremes(uintptr_t pointer, int64_t count, int bytes, int64_t step) {
  const char* p = reinterpret_cast<const char*>(pointer);
  if (bytes == 8) return extremes_of<int64_t>(p, count, step);
  if (bytes == 4) return extremes_of<int32_t>(p, count, step);
  throw py::value_error("extremes: integers of " + std::to_string(bytes) + " bytes; 4 or 8 are known");
}

}  // namespace

void bind_heap(py::module_& m) {
  m.def("heap_functions", [] { return std::make_pair(reinterpret_cast<uintptr_t>(&heap_alloc), reinterpret_cast<uintptr_t>(&heap_free)); });
  m.def("heap_configure", &configure);
  m.def("heap_stats", &stats);
  m.def("heap_live", [](int die) { return checked(die).live(); });
  m.def("heap_cached", [](int die) { return checked(die).cached(); });
  m.def("heap_empty_cache", [](int die) { checked(die).empty_cache(); });
  m.def("heap_reset_peaks", [](int die) { checked(die).reset_peaks(); });
  m.def("extremes", &extremes);
  m.def("heap_base", [](int die) { return reinterpret_cast<uintptr_t>(checked(die).base()); });
}

}  // namespace al::davinci
