// Programs without some of their instructions: what shows whether a flag or barrier is needed.
#pragma once
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

// A flag, barrier or cross-core flag as it stands in the code (once, however often a loop runs it).
struct SyncStatement {
  int core;  // CoreKind
  int statement;
  uint8_t sync, pipe;
  int32_t site;
  std::vector<int64_t> args;   // those that are constants
  std::vector<bool> constant;  // per argument; else the argument holds its expression
};

std::vector<SyncStatement> sync_statements(const Program& program);

// The program without these statements, each (core, index).
Program without(const Program& program, const std::vector<std::pair<int, int>>& statements);

}  // namespace al::davinci
