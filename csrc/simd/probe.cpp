// Tells which instruction set a kernel library was compiled for.
#include "kernel.h"

extern "C" __attribute__((visibility("default"))) const char* al_instruction_set() { return AL_INSTRUCTION_SET; }
