// Runs the probes of the loaded kernel library on every thread of the pool.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <stdexcept>

#include "runtime/runtime.h"

namespace al {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kUnit = 1024;  // floats: every thread's part is a multiple of it

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Probe {
  LoopFn loop;
  int nargs;
  char* arrays[3];
  double flops[256 * 16];
};

void run_stream(void* context, int64_t begin, int64_t end) {
  auto& p = *static_cast<Probe*>(context);
  char* data[3];
  for (int i = 0; i < p.nargs; i++) data[i] = p.arrays[i] + begin * 4;
  p.loop(data, nullptr, end - begin);
}

void run_flops(void* context, int64_t begin, int64_t end) {
  auto& p = *static_cast<Probe*>(context);
  for (int64_t t = begin; t < end; t++) {
    char* data[1] = {reinterpret_cast<char*>(&p.flops[t * 16])};
    p.loop(data, nullptr, 200000);
  }
}

// The mean of the rounds that fit into `seconds`, after one that does not count.
template <class Round>
double mean_rate(double seconds, Round round) {
  round();
  double work = 0, passed = 0;
  for (auto start = Clock::now(); passed == 0 || passed < seconds; passed = seconds_since(start)) work += round();
  return work / passed;
}

}  // namespace

double measure(const std::string& name, int64_t bytes, double seconds) {
  KernelEntry* entry = find_entry(("measure_" + name).c_str());
  if (!entry->loops[kFloat32]) throw std::invalid_argument("measure: there is no probe '" + name + "'; known: fma, read, triad, triad_streaming, and dot_bf16, dot_int8 where the machine has the instruction");
  Probe p{entry->loops[kFloat32], entry->nargs, {}, {}};
  if (entry->nargs == 1 && name != "read")  // products in registers
    return mean_rate(seconds, [&] {
      int threads = get_num_threads();
      parallel_for(threads, 1, run_flops, &p);
      double sum = 0;
      for (int t = 0; t < threads; t++) sum += p.flops[t * 16];
      return sum;
    });
  int64_t n = std::max(bytes / 4 / p.nargs / kUnit, int64_t{1}) * kUnit;
  for (int i = 0; i < p.nargs; i++) {
    p.arrays[i] = static_cast<char*>(allocate(size_t(n) * 4));
    if (!p.arrays[i]) throw std::bad_alloc();
    std::memset(p.arrays[i], 0, size_t(n) * 4);
  }
  double rate = mean_rate(seconds, [&] {
    parallel_for(n, kUnit, run_stream, &p);
    return double(n) * 4 * p.nargs;
  });
  for (int i = 0; i < p.nargs; i++) release(p.arrays[i], size_t(n) * 4);
  return rate;
}

}  // namespace al
