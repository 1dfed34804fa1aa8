// Kernels by name, and the shared objects that bring them. One of the instruction-set libraries is loaded in a process.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>

#include "runtime/runtime.h"

namespace al {
namespace {

std::map<std::string, KernelEntry>& table() {
  static auto* entries = new std::map<std::string, KernelEntry>;
  return *entries;
}

#if defined(__SANITIZE_ADDRESS__)
// The address sanitizer sees each block only if it comes from its own allocator.
void* allocate_block(size_t bytes) {
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) throw std::bad_alloc();
  return p;
}
void free_block(void* p, size_t) { std::free(p); }
const Runtime services{allocate_block, free_block, parallel_for, get_num_threads, find_entry, read_next};
#else
const Runtime services{allocate_or_throw, release, parallel_for, get_num_threads, find_entry, read_next};
#endif

}  // namespace

const Runtime* host_runtime() { return &services; }

KernelEntry* find_entry(const char* name) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> hold(mutex);
  auto [it, fresh] = table().try_emplace(name);
  if (fresh) {
    std::memset(&it->second, 0, sizeof(KernelEntry));
    it->second.name = it->first.c_str();
  }
  return &it->second;
}

std::vector<std::string> entry_names() {
  std::vector<std::string> names;
  for (auto& [name, entry] : table()) names.push_back(name);
  return names;
}

std::vector<std::string> supported_instruction_sets() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The levels are what the libraries are compiled for: every extension of them, and its registers saved by the system.
  if (__builtin_cpu_supports("x86-64-v4")) found.push_back("avx512");
  if (__builtin_cpu_supports("x86-64-v3")) found.push_back("avx2");
#elif defined(__aarch64__)
  found.push_back("neon");
#endif
  found.push_back("baseline");
  return found;
}

void load_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error("load_library: " + path + ": " + dlerror());
  auto entry = reinterpret_cast<void (*)(const Runtime*)>(dlsym(handle, "al_register_kernels"));
  if (!entry) throw std::runtime_error("load_library: " + path + " is not a kernel library of ascendlite");
  entry(host_runtime());
}

}  // namespace al
