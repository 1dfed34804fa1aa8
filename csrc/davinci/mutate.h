// Programs without some of their instructions: what shows whether a flag or barrier is needed.
#pragma once
#include <compare>
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

// A SetFlag and a WaitFlag that waited for it, as some of the program's blocks run: statements of one core.
struct FlagPair {
  int core, set, wait;
  auto operator<=>(const FlagPair&) const = default;
};

// The pairs of the first, the middle and the last of so many blocks, each once, on the ways that the check follows: data that decide the flow
// are the least and the most of what is declared, and what they typically are.
std::vector<FlagPair> flag_pairs(const Program& program, int64_t blocks);

// The program without these statements, each (core, index).
Program without(const Program& program, const std::vector<std::pair<int, int>>& statements);

}  // namespace al::davinci
