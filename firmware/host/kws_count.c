#include "kws_host.h"

static void watch(kws_counter* c, void* uc, uint32_t address) {
  if (address == c->watch && !c->return_address) {
    c->read_register(uc, c->link_register, &c->return_address);
    c->read_register(uc, c->stack_register, &c->return_stack);
    c->entered_instructions = c->instructions;
    c->entered_cycles = c->cycles;
  } else if (address == (c->return_address & ~1u)) {
    uint32_t stack = 0;
    c->read_register(uc, c->stack_register, &stack);
    if (stack != c->return_stack) return;
    c->return_address = 0;
    c->calls += 1;
    c->watched_instructions += c->instructions - c->entered_instructions;
    c->watched_cycles += c->cycles - c->entered_cycles;
  }
}

void kws_count_block(void* uc, uint64_t block_address, uint32_t bytes, void* user) {
  kws_counter* c = user;
  const uint32_t address = (uint32_t)block_address;
  if (address >= c->code_bytes) return;
  const uint32_t i = address / 2;
  if (c->block_bytes[i] != bytes) c->measure(address, bytes);
  if (address != c->next_address) c->cycles += c->taken_branch_cycles;
  if (c->watch) watch(c, uc, address);
  c->instructions += c->block_instructions[i];
  c->cycles += c->block_cycles[i];
  c->block_runs[i] += 1;
  c->next_address = address + bytes;
}
