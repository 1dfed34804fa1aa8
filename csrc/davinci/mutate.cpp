#include "davinci/mutate.h"

#include <algorithm>
#include <stdexcept>
#include <string>

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

}  // namespace

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
