#include "kws_host.h"

static void enter(kws_counter* c, kws_watch* w, void* uc) {
  c->read_register(uc, c->link_register, &w->return_address);
  c->read_register(uc, c->stack_register, &w->return_stack);
  w->entered_instructions = c->instructions;
  w->entered_cycles = c->cycles;
}

// The same return address with another stack pointer belongs to another call.
static void leave(kws_counter* c, kws_watch* w, void* uc) {
  uint32_t stack = 0;
  c->read_register(uc, c->stack_register, &stack);
  if (stack != w->return_stack) return;
  w->return_address = 0;
  w->calls += 1;
  w->instructions += c->instructions - w->entered_instructions;
  w->cycles += c->cycles - w->entered_cycles;
}

void kws_count_block(void* uc, uint64_t block_address, uint32_t bytes, void* user) {
  kws_counter* c = user;
  const uint32_t address = (uint32_t)block_address;
  if (address >= c->code_bytes) return;
  const uint32_t i = address / 2;
  if (c->block_bytes[i] != bytes) c->measure(address, bytes);
  if (address != c->next_address) c->cycles += c->taken_branch_cycles;
  for (kws_watch* w = c->watches; w < c->watches + c->n_watches; ++w) {
    if (w->return_address && address == (w->return_address & ~1u)) leave(c, w, uc);
    if (!w->return_address && address == w->address) enter(c, w, uc);
  }
  c->instructions += c->block_instructions[i];
  c->cycles += c->block_cycles[i];
  c->block_runs[i] += 1;
  c->next_address = address + bytes;
  if (c->cycles > c->cycle_limit) c->stop(uc);
}
