"""Models, one folder each. All follow one protocol of calls and caches, `ascendlite.generation.CausalModel`, which `generate` needs."""
