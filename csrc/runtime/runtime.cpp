#include "runtime/runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace al {
namespace {

void* host_alloc(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
void host_free(void* p, size_t) { std::free(p); }
void serial_for(int64_t n, int64_t, ParallelBody body, void* c) { body(c, 0, n); }
int one_thread() { return 1; }

KernelEntry* entry(const char* name) {
  static std::map<std::string, KernelEntry> table;
  auto [it, fresh] = table.try_emplace(name);
  if (fresh) {
    std::memset(&it->second, 0, sizeof(KernelEntry));
    it->second.name = it->first.c_str();
  }
  return &it->second;
}

const Runtime services{host_alloc, host_free, serial_for, one_thread, entry};

}  // namespace

const Runtime* host_runtime() { return &services; }

}  // namespace al
