// Takes copies between GM and UB out of a core's instructions where the vector unit can as well read or write GM in place.
#pragma once
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

// Changes operands and drops instructions such that GM ends with the same bytes, if arguments are disjoint or begin at the same
// address. `instrs`: a core's instructions in order, with no wait for another core among them; `ends`: the program ends after
// them, so that what lies in UB is of no use any more.
void use_in_place(const Program& program, std::vector<Instr>& instrs, bool ends);

}  // namespace al::davinci
