// Waiting for another thread without a system call, for a while.
#pragma once
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace al {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until word leaves `value`, then lingers, giving way to who wants the core; false when it did not leave it in `linger` all told.
inline bool spin_while(std::atomic<uint32_t>& word, uint32_t value, std::chrono::microseconds spin, std::chrono::microseconds linger) {
  const auto begin = std::chrono::steady_clock::now();
  for (auto spent = std::chrono::steady_clock::duration::zero(); spent < linger; spent = std::chrono::steady_clock::now() - begin) {
    for (int i = 0; i < 64; i++) {
      if (word.load(std::memory_order_acquire) != value) return true;
      relax();
    }
    if (spent >= spin) sched_yield();
  }
  return false;
}

}  // namespace al
