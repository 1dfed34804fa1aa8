// The process-wide services: caching allocator, thread pool, registry of kernels.
#pragma once
#include "abi.h"

namespace al {
const Runtime* host_runtime();
}  // namespace al
