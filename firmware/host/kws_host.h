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

// Training clips, changed. A clip starts shifts[i] samples later (earlier, if negative; at most n_samples either way),
// and noise from starts[i] on is added at volumes[i], 0..1.
void kws_host_augment(const int16_t* clips, size_t n_clips, size_t n_samples, const int32_t* shifts,
                      const int16_t* noise, const int64_t* starts, const float* volumes, int16_t* out);

// Noise alone, at volumes[i], 0..1.
void kws_host_noise(const int16_t* noise, const int64_t* starts, const double* volumes, size_t n_clips,
                    size_t n_samples, int16_t* out);

// One function that is being watched: what its calls took, callees included.
typedef struct {
  uint32_t address;
  uint32_t return_address;  // of the call in progress, 0: none
  uint32_t return_stack;
  uint64_t entered_instructions;
  uint64_t entered_cycles;
  uint64_t calls;
  uint64_t instructions;
  uint64_t cycles;
} kws_watch;

// One place in the tree of calls: a function, called by its parent's function. Costs are its own, callees left out.
typedef struct {
  uint16_t function;
  uint16_t parent;        // index of a node
  uint16_t first_child;   // 0: none
  uint16_t next_sibling;  // 0: none
  uint64_t calls;
  uint64_t instructions;
  uint64_t cycles;
} kws_call_node;

// A call in progress.
typedef struct {
  uint32_t return_address;
  uint16_t node;
} kws_call_frame;

// Who calls whom: a shadow of the emulated stack, kept by watching calls and returns. Node 0 is the reset handler.
typedef struct {
  const uint16_t* function_of;  // [code_bytes / 2], 0: no function
  kws_call_node* nodes;
  uint32_t n_nodes, node_limit; // past the limit a new caller's costs stay with its parent
  kws_call_frame* frames;
  uint32_t depth, depth_limit;  // past the limit deeper calls are counted with the deepest
} kws_call_tree;

// Counts what an emulated Cortex-M executes, block by block, without leaving C. The arrays are indexed by half the
// address of a block's first instruction.
typedef struct {
  uint64_t instructions;         // executed so far
  uint64_t cycles;               // estimated so far
  uint32_t next_address;         // where the last block would have gone on
  uint32_t after_call;           // 1: the last block ended with a call
  uint32_t code_bytes;           // code lies in 0..code_bytes
  uint16_t* block_bytes;         // 0: a block not seen yet
  uint16_t* block_instructions;
  uint16_t* block_cycles;
  uint64_t* block_runs;
  uint8_t* block_calls;          // 1: the block's last instruction is a call
  kws_watch* watches;
  uint32_t n_watches;
  kws_call_tree* calls;
  uint32_t taken_branch_cycles;  // what a refill of the pipeline costs
  uint64_t ask_cycles;           // from this one on Python is asked whether to stop
  int (*ask)(void);              // 1: stop
  void (*measure)(uint32_t address, uint32_t bytes);  // fills in a new block; the emulator stops where it did not
  int (*read_register)(void* uc, int register_id, void* value);
  int (*stop)(void* uc);
  int link_register;             // register ids of the emulator
  int stack_register;
} kws_counter;

// The emulator's block hook; user is a kws_counter.
void kws_count_block(void* uc, uint64_t address, uint32_t bytes, void* user);

#endif
