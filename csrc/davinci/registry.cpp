// Meanings by name, from the tables of all files.
#include <map>
#include <string_view>

#include "davinci/steps.h"

namespace al::davinci {

MeaningTable*& MeaningTable::head() {
  static MeaningTable* first = nullptr;
  return first;
}

Meaning find_meaning(const std::string& name) {
  static const auto* all = [] {
    auto* map = new std::map<std::string_view, Meaning>;
    for (const MeaningTable* t = MeaningTable::head(); t; t = t->next)
      for (const MeaningEntry* e = t->begin; e != t->end; ++e) map->emplace(e->name, e->meaning);
    return map;
  }();
  auto found = all->find(name);
  return found == all->end() ? nullptr : found->second;
}

}  // namespace al::davinci
