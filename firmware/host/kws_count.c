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

// The child of a node that stands for a function, made if it is missing.
static uint16_t child_of(kws_call_tree* t, uint16_t parent, uint16_t function) {
  for (uint16_t i = t->nodes[parent].first_child; i; i = t->nodes[i].next_sibling)
    if (t->nodes[i].function == function) return i;
  if (t->n_nodes == t->node_limit) return parent;
  const uint16_t made = (uint16_t)t->n_nodes++;
  const kws_call_node node = {.function = function, .parent = parent, .next_sibling = t->nodes[parent].first_child};
  t->nodes[made] = node;
  t->nodes[parent].first_child = made;
  return made;
}

static void enter_function(kws_call_tree* t, uint16_t function, uint32_t return_address) {
  if (t->depth + 1 >= t->depth_limit) return;
  const uint16_t node = child_of(t, t->frames[t->depth].node, function);
  t->frames[++t->depth] = (kws_call_frame){.return_address = return_address, .node = node};
  t->nodes[node].calls += 1;
}

// Back to the caller of the innermost call that returns to this address. False: nobody is waiting there.
static int leave_function(kws_call_tree* t, uint32_t address) {
  for (uint32_t depth = t->depth; depth > 0; --depth)
    if (t->frames[depth].return_address == address) {
      t->depth = depth - 1;
      return 1;
    }
  return 0;
}

// The rest of a function may lie elsewhere, under another name; a branch to another function makes that one return
// in its place. Either is counted as called by it.
static void move_on(kws_call_tree* t, uint16_t function) {
  uint16_t* node = &t->frames[t->depth].node;
  const uint16_t parent = t->nodes[*node].parent;
  if (function == t->nodes[*node].function) return;
  if (*node != parent && function == t->nodes[parent].function) {
    *node = parent;
  } else {
    *node = child_of(t, *node, function);
    t->nodes[*node].calls += 1;
  }
}

// A block starts after a jump: a call, a return, or a branch.
static void follow_jump(kws_counter* c, uint32_t address) {
  const uint16_t function = c->calls->function_of[address / 2];
  if (c->after_call) {
    enter_function(c->calls, function, c->next_address);
  } else if (!leave_function(c->calls, address)) {
    move_on(c->calls, function);
  }
}

void kws_count_block(void* uc, uint64_t block_address, uint32_t bytes, void* user) {
  kws_counter* c = user;
  const uint32_t address = (uint32_t)block_address;
  if (address >= c->code_bytes) return;
  const uint32_t i = address / 2;
  if (c->block_bytes[i] != bytes) c->measure(address, bytes);
  if (c->block_bytes[i] != bytes || (c->cycles >= c->ask_cycles && c->ask())) {
    c->stop(uc);  // before the block: it is counted when it runs
    return;
  }
  const uint32_t refill_cycles = address != c->next_address ? c->taken_branch_cycles : 0;
  if (address != c->next_address) follow_jump(c, address);
  kws_call_node* node = &c->calls->nodes[c->calls->frames[c->calls->depth].node];
  node->instructions += c->block_instructions[i];
  node->cycles += c->block_cycles[i] + refill_cycles;
  c->cycles += refill_cycles;
  for (kws_watch* w = c->watches; w < c->watches + c->n_watches; ++w) {
    if (w->return_address && address == (w->return_address & ~1u)) leave(c, w, uc);
    if (!w->return_address && address == w->address) enter(c, w, uc);
  }
  c->instructions += c->block_instructions[i];
  c->cycles += c->block_cycles[i];
  c->block_runs[i] += 1;
  c->next_address = address + bytes;
  c->after_call = c->block_calls[i];
}
