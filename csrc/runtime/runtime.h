// The process-wide services that kernels and the core share: memory, threads, and the registry of kernels.
#pragma once
#include <string>
#include <vector>

#include "abi.h"

namespace al {

const Runtime* host_runtime();

// -- memory.cpp: a caching allocator
struct MemoryStats {
  int64_t allocated;      // bytes in blocks that are in use
  int64_t max_allocated;  // the highest that was since reset_peak
  int64_t reserved;       // bytes taken from the system, in use or cached
  int64_t max_reserved;
  int64_t allocations;    // calls so far
  int64_t active;         // blocks in use
  int64_t segments;       // mappings that the reserved bytes lie in
  int64_t limit;          // what may be reserved: the machine's memory, or its cgroup's, unless set
};
void* allocate(size_t bytes) noexcept;  // 64-byte aligned, uninitialised; null when the system refuses
void* allocate_or_throw(size_t bytes);
void release(void* pointer, size_t bytes) noexcept;
void empty_cache();
void reset_peak();
MemoryStats memory_stats();
void set_memory_limit(int64_t bytes);  // of what may be reserved; 0: the machine's memory
void set_poison(bool on);              // fill blocks with NaN bits at allocation and release: finds reads of what was never written

// -- threads.cpp: one pool
void parallel_for(int64_t n, int64_t grain, ParallelBody body, void* context);
// What the region after the next one will read, each part its share in order: workers fetch theirs while they have nothing else to do.
void read_next(const void* from, size_t bytes);
int get_num_threads();
int usable_cores();
void set_num_threads(int n);

// -- registry.cpp: kernels by name, and the libraries they come from
KernelEntry* find_entry(const char* name);
std::vector<std::string> entry_names();
std::vector<std::string> supported_instruction_sets();  // of this processor, best first
void load_library(const std::string& path);

// -- measure.cpp: what the machine gives in some `seconds`; FLOP/s of products in registers, else bytes/s over arrays of `bytes` in all
double measure(const std::string& name, int64_t bytes, double seconds);

}  // namespace al
