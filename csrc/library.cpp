// The entry point of a kernel library: takes the host's services and runs the library's registrars.
#include "kernel.h"

namespace al {
const Runtime* runtime = nullptr;
Registrar*& Registrar::head() {
  static Registrar* first = nullptr;
  return first;
}
}  // namespace al

extern "C" __attribute__((visibility("default"))) void al_register_kernels(const al::Runtime* services) {
  al::runtime = services;
  for (auto* r = al::Registrar::head(); r; r = r->next) r->run();
}
