#include "davinci/mutate.h"

#include "davinci/checker_range.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>

namespace al::davinci {
namespace {

void remove(Code& code, std::vector<int> which) {
  std::sort(which.begin(), which.end());
  std::vector<Statement> kept;
  std::vector<int32_t> moved(code.statements.size());
  for (size_t i = 0; i < code.statements.size(); ++i) {
    moved[i] = static_cast<int32_t>(kept.size());
    if (!std::binary_search(which.begin(), which.end(), static_cast<int>(i))) kept.push_back(code.statements[i]);
  }
  for (Statement& s : kept)
    if (s.jump >= 0) s.jump = moved[s.jump];  // loops, ifs and their ends stay, so every target does
  code.statements = std::move(kept);
}

constexpr int64_t kMostWalked = 1 << 20;  // instructions of one core; loops have paired their flags long before

// Flags are waited for in the order in which they are set: the n-th wait of an event's id takes its n-th set.
void pair_flags(const Program& program, CoreKind core, int64_t block, int64_t sub_block, Taken taken, std::set<FlagPair>& pairs) {
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::pair<std::vector<int>, std::vector<int>>> flags;  // (source, target, id): sets and waits
  Walker walker(program, core, block, sub_block);
  Instr i;
  for (int64_t n = 0; n < kMostWalked && walker.next(i); ++n) {
    if (i.sync == kGetValue) walker.set_scalar(static_cast<int>(i.args[0]), taken_value(i, taken), 0);
    if (i.sync != kSetFlag && i.sync != kWaitFlag) continue;
    const int statement = static_cast<int>(&walker.last() - walker.code().statements.data());
    auto& [sets, waits] = flags[i.sync == kSetFlag ? std::tuple{int64_t{i.pipe}, i.args[0], i.args[1]} : std::tuple{i.args[0], int64_t{i.pipe}, i.args[1]}];
    (i.sync == kSetFlag ? sets : waits).push_back(statement);
  }
  for (const auto& [_, both] : flags)
    for (size_t n = 0; n < std::min(both.first.size(), both.second.size()); ++n) pairs.insert({core, both.first[n], both.second[n]});
}

}  // namespace

std::vector<FlagPair> flag_pairs(const Program& program, int64_t blocks) {
  std::set<FlagPair> pairs;
  for (const int64_t block : std::set<int64_t>{0, blocks / 2, blocks - 1}) {
    for (const Taken taken : {Taken::kTypical, Taken::kLowest, Taken::kHighest}) {
      if (program.has_cube()) pair_flags(program, kAIC, block, 0, taken, pairs);
      for (int v = 0; v < program.vectors_per_group(); ++v) pair_flags(program, kAIV, block, v, taken, pairs);
      if (!program.reads_scalars) break;
    }
  }
  return {pairs.begin(), pairs.end()};
}

std::vector<SyncStatement> sync_statements(const Program& program) {
  std::vector<SyncStatement> all;
  for (const CoreKind core : {kAIC, kAIV}) {
    const Code& code = program.code(core);
    for (size_t i = 0; i < code.statements.size(); ++i) {
      const Statement& s = code.statements[i];
      if (s.kind != kInstr) continue;
      const uint8_t sync = program.declarations[s.opcode].sync;
      if (sync == kNoSync || sync == kGetValue) continue;
      SyncStatement one{core, static_cast<int>(i), sync, s.pipe, s.site, {}, {}};
      for (int a = 0; a < s.nargs; ++a) {
        const int32_t node = code.arg_nodes[s.first_arg + a];
        one.constant.push_back(program.exprs[node].op == kConst);
        one.args.push_back(one.constant.back() ? program.exprs[node].a : node);
      }
      all.push_back(std::move(one));
    }
  }
  return all;
}

Program without(const Program& program, const std::vector<std::pair<int, int>>& statements) {
  Program copy = program;
  for (const CoreKind core : {kAIC, kAIV}) {
    Code& code = core == kAIC ? copy.cube : copy.vector;
    std::vector<int> which;
    for (const auto& [of, index] : statements) {
      if (of != core) continue;
      if (index < 0 || index >= static_cast<int>(code.statements.size()) || code.statements[index].kind != kInstr)
        throw std::invalid_argument("without: statement " + std::to_string(index) + " is no instruction of the program");
      which.push_back(index);
    }
    if (!which.empty()) remove(code, std::move(which));
  }
  return copy;
}

}  // namespace al::davinci
