// What Python calls: the core over whole batches. Only plain declarations, because Python reads this file too.
#ifndef KWS_HOST_H_
#define KWS_HOST_H_

#include <stddef.h>
#include <stdint.h>

#include "kws_nn.h"

// Front end over n_clips clips of n_samples each, every clip from a fresh state.
// features: [n_clips][1 + (n_samples - 480) / step_samples][40]. Returns a kws_status.
int kws_host_features(const int16_t* clips, size_t n_clips, size_t n_samples, uint16_t step_samples,
                      uint16_t* features);

// Counts what an emulated Cortex-M executes, block by block, without leaving C.
typedef struct {
  uint64_t instructions;         // executed so far
  uint64_t cycles;               // estimated so far
  uint64_t calls;                // of the watched function, completed
  uint64_t watched_instructions; // inside it, callees included
  uint64_t watched_cycles;
  uint32_t watch;                // address of the watched function, 0: none
  uint32_t code_bytes;           // code lies in 0..code_bytes
  uint16_t* block_instructions;  // [code_bytes / 2], by the address of the block's first instruction; 0: not seen yet
  uint16_t* block_cycles;        // [code_bytes / 2]
  uint16_t* block_bytes;         // [code_bytes / 2]
  uint64_t* block_runs;          // [code_bytes / 2]
  void (*measure)(uint32_t address, uint32_t bytes);                 // fills the three for a new block
  int (*read_register)(void* uc, int register_id, void* value);
  int link_register;             // register ids of the emulator
  int stack_register;
  uint32_t taken_branch_cycles;  // what a refill of the pipeline costs
  // Private.
  uint32_t next_address;
  uint32_t return_address, return_stack;
  uint64_t entered_instructions, entered_cycles;
} kws_counter;

// The emulator's block hook; user is a kws_counter.
void kws_count_block(void* uc, uint64_t address, uint32_t bytes, void* user);

#endif
