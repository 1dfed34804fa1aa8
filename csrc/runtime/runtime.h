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
};
void* allocate(size_t bytes) noexcept;  // 64-byte aligned, uninitialised; null when the system refuses
void* allocate_or_throw(size_t bytes);
void release(void* pointer, size_t bytes) noexcept;
void empty_cache();
void reset_peak();
MemoryStats memory_stats();
void memory_after_fork();  // a fork may have caught another thread inside the allocator

// -- threads.cpp: one pool
void parallel_for(int64_t n, int64_t grain, ParallelBody body, void* context);
int get_num_threads();
void set_num_threads(int n);

// -- registry.cpp: kernels by name, and the libraries they come from
KernelEntry* find_entry(const char* name);
std::vector<std::string> entry_names();
std::vector<std::string> supported_instruction_sets();  // of this processor, best first
void load_library(const std::string& path);

}  // namespace al
