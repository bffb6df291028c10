// One filter of kws_conv2d_pairs_sparse_s8 over some output rows, in Thumb-2: kws_pairs_filter_rows.S without what is 0.
//
// What is kept or left out is half a row of the kernel, a unit: the four taps of even columns, or of odd ones. Unit
// 2 * row + odd reads the input 12 bytes (of the head) or 20 (of a block) behind the unit before. The kept units stand in
// up to 20 unrolled slots and end at the last one; the weights of slots 4 to 19 lie in the FPU's registers. Behind each
// slot the input pointer goes on to the next kept unit, by a distance from a table in the stack frame. It costs 2 cycles
// of a block's 19: loads that follow a load take one. In the head a register holds four distances, and UXTAB adds one.
//
// Kernel rows above the image are skipped by jumping into the slots. Below it the scratch has rows of zeros.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

// Offsets in the stack frame. The weights of slots 0 to 3 come first. From FILTER to SKIP it is the kws_pairs_job.
#define HEAD_STEPS  32   /* for each slot a byte: bytes to the next unit */
#define BLOCK_STEPS 52   /* for each slot 16 bits */
#define START    92   /* both halves of an accumulator's starting value */
#define SCALE    100  /* multiplier and addend of the requantisation */
#define FILTER   108
#define ROWS     112
#define N_ROWS   116
#define HEAD     120
#define BLOCKS   124
#define BLOCK_BYTES 128
#define N_BLOCKS 132
#define OUTPUT   136
#define SKIP     140
#define X        144  /* of the block to come */
#define LEFT     148  /* blocks left in this row */
#define ENTRY    152  /* where the slots of a block begin for this row */
#define FRAME    160

#define SLOTS           20
#define HEAD_SLOT_CODE  32  /* bytes of code of one slot, without the load of the distances */
#define BLOCK_SLOT_CODE 56

#include "kws_pairs_outputs.h"

// A unit for three accumulators; the left half of the first lies outside the image. r7, r8: its weights, r12: distances.
    .macro head_products i
    ldm.w r6, {r9, r10, r11}
    smlal r0, r1, r9, r8
    uxtab r6, r6, r12, ror #(8 * (\i % 4))
    smlal r2, r3, r9, r7
    smlal r2, r3, r10, r8
    smlal r4, r5, r10, r7
    smlal r4, r5, r11, r8
    .endm

// A unit for four accumulators. r9, r10: its weights.
    .macro block_products i
    ldm.w r8, {r11, r12, lr}
    smlal r0, r1, r11, r9
    smlal r0, r1, r12, r10
    smlal r2, r3, r12, r9
    smlal r2, r3, lr, r10
    smlal r4, r5, lr, r9
    ldr.w r11, [r8, #12]
    ldr.w r12, [r8, #16]
    ldrh.w lr, [sp, #(BLOCK_STEPS + 2 * \i)]
    smlal r4, r5, r11, r10
    add.w r8, r8, lr
    smlal r6, r7, r11, r9
    smlal r6, r7, r12, r10
    .endm

// Slots with their weights on the stack, and in registers.
    .macro slot_of_stack products, w, v, i
    ldrd \w, \v, [sp, #8 * \i]
    \products \i
    .endm

    .macro slot_of_fpu products, w, v, i, a, b
    vmov \w, \v, \a, \b
    \products \i
    .endm

    .macro four_slots products, distances, w, v, i, a, b, c, d, e, f, g, h
    \distances \i
    slot_of_fpu \products, \w, \v, (\i + 0), \a, \b
    slot_of_fpu \products, \w, \v, (\i + 1), \c, \d
    slot_of_fpu \products, \w, \v, (\i + 2), \e, \f
    slot_of_fpu \products, \w, \v, (\i + 3), \g, \h
    .endm

    .macro all_slots products, distances, w, v
    \distances 0
    slot_of_stack \products, \w, \v, 0
    slot_of_stack \products, \w, \v, 1
    slot_of_stack \products, \w, \v, 2
    slot_of_stack \products, \w, \v, 3
    four_slots \products, \distances, \w, \v, 4, s0, s1, s2, s3, s4, s5, s6, s7
    four_slots \products, \distances, \w, \v, 8, s8, s9, s10, s11, s12, s13, s14, s15
    four_slots \products, \distances, \w, \v, 12, s16, s17, s18, s19, s20, s21, s22, s23
    four_slots \products, \distances, \w, \v, 16, s24, s25, s26, s27, s28, s29, s30, s31
    .endm

    .macro load_distances i
    ldr.w r12, [sp, #(HEAD_STEPS + \i)]
    .endm

    .macro no_distances i
    .endm

    .section .text.kws_pairs_kept_rows, "ax", %progbits
    .global kws_pairs_kept_rows
    .type kws_pairs_kept_rows, %function
    .thumb_func
    .p2align 2
kws_pairs_kept_rows:  // r0: kws_pairs_job, whose filter is a kws_pairs_kept
    push {r3-r11, lr}
    vpush {s16-s31}
    sub sp, sp, #FRAME
    add r9, sp, #FILTER
    ldm r0, {r0-r8}
    stm r9, {r0-r8}
    ldm r0!, {r3-r7}
    add r1, sp, #START
    stm r1, {r4-r7}
    lsr r1, r3, #24         // kept units
    bic r3, r3, #0xFF000000
    adr.w r2, .Lloaded + 1
    sub r2, r2, r1, lsl #2
    bx r2
    .p2align 2
    b.w .Lload_0            // 4 bytes a slot
    b.w .Lload_1
    b.w .Lload_2
    b.w .Lload_3
.Lload_4:
    vldmia r0!, {s0, s1}
    vldmia r0!, {s2, s3}
    vldmia r0!, {s4, s5}
    vldmia r0!, {s6, s7}
    vldmia r0!, {s8, s9}
    vldmia r0!, {s10, s11}
    vldmia r0!, {s12, s13}
    vldmia r0!, {s14, s15}
    vldmia r0!, {s16, s17}
    vldmia r0!, {s18, s19}
    vldmia r0!, {s20, s21}
    vldmia r0!, {s22, s23}
    vldmia r0!, {s24, s25}
    vldmia r0!, {s26, s27}
    vldmia r0!, {s28, s29}
    vldmia r0!, {s30, s31}
.Lloaded:
    clz r4, r3              // the last kept unit is bit 31 - r4
    mov r8, #0x80000000
    add r5, sp, #(HEAD_STEPS + SLOTS - 1)
    add r6, sp, #(BLOCK_STEPS + 2 * SLOTS - 2)
    movs r9, #12
    movs r10, #20
.Ldistance:                 // from the last unit to the first
    lsr r7, r8, r4
    bics r3, r3, r7
    beq .Lrow
    clz r7, r3
    sub r2, r7, r4
    mov r4, r7
    mul r0, r2, r9
    mul r1, r2, r10
    strb r0, [r5, #-1]!
    strh r1, [r6, #-2]!
    b .Ldistance

.Lload_0:
    ldm r0!, {r4, r5}
    strd r4, r5, [sp]
.Lload_1:
    ldm r0!, {r4, r5}
    strd r4, r5, [sp, #8]
.Lload_2:
    ldm r0!, {r4, r5}
    strd r4, r5, [sp, #16]
.Lload_3:
    ldm r0!, {r4, r5}
    strd r4, r5, [sp, #24]
    b .Lload_4

    .p2align 2
.Lrow:
    ldr r0, [sp, #ROWS]
    ldr r1, [r0], #4
    str r0, [sp, #ROWS]
    uxth r2, r1             // first kept unit inside the image
    lsr r3, r1, #16         // kept units from there on
    ldrd r6, r5, [sp, #HEAD]
    ldr r0, [sp, #N_BLOCKS]
    add r4, r2, r2, lsl #1
    add r2, r2, r2, lsl #2
    add r6, r6, r4, lsl #2  // 12 bytes a unit
    add r5, r5, r2, lsl #2  // 20 bytes a unit
    str r5, [sp, #X]
    str r0, [sp, #LEFT]
    rsb r4, r3, #SLOTS
    bic r4, r4, #3
    add r4, sp, r4
    ldr r12, [r4, #HEAD_STEPS]
    adr.w r7, .Lblock_end + 1
    movs r0, #BLOCK_SLOT_CODE
    mls r7, r3, r0, r7
    str r7, [sp, #ENTRY]
    adr.w r7, .Lhead_end + 1
    sub r7, r7, r3, lsl #5  // HEAD_SLOT_CODE
    lsrs r3, r3, #2
    sub r7, r7, r3, lsl #2  // loads of distances
    ldrd r0, r1, [sp, #START]
    mov r2, r0
    mov r3, r1
    mov r4, r0
    mov r5, r1
    bx r7

    .p2align 2
    all_slots head_products, load_distances, r7, r8
    .p2align 2
.Lhead_end:
    head_outputs

.Lblock:
    begin_block

    .p2align 2
    all_slots block_products, no_distances, r9, r10
    .p2align 2
.Lblock_end:
    block_outputs

    add sp, sp, #FRAME
    vpop {s16-s31}
    pop {r3-r11, pc}
    .size kws_pairs_kept_rows, . - kws_pairs_kept_rows
#endif
