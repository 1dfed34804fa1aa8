// Meanings by name, from the tables of all files.
#include <map>
#include <string_view>

#include "davinci/steps.h"

namespace al::davinci {

MeaningTable*& MeaningTable::head() {
  static MeaningTable* first = nullptr;
  return first;
}

namespace {

const MeaningEntry* find_entry(const std::string& name) {
  static const auto* all = [] {
    auto* map = new std::map<std::string_view, const MeaningEntry*>;
    for (const MeaningTable* t = MeaningTable::head(); t; t = t->next)
      for (const MeaningEntry* e = t->begin; e != t->end; ++e) map->emplace(e->name, e);
    return map;
  }();
  auto found = all->find(name);
  return found == all->end() ? nullptr : found->second;
}

}  // namespace

Meaning find_meaning(const std::string& name) {
  const MeaningEntry* e = find_entry(name);
  return e ? e->meaning : nullptr;
}

bool is_movable(const std::string& name) {
  const MeaningEntry* e = find_entry(name);
  return e && e->movable;
}

}  // namespace al::davinci
