// One filter of kws_conv2d_pairs_s8 over some output rows, in Thumb-2.
//
// SMLAL multiplies two columns by two weights at once: (a + b X)(v + u X) = a v + (a u + b v) X + b u X^2, X = 2^21.
// Where v and u are neighbouring taps, the three parts belong to three neighbouring outputs, so every product counts.
// A 64-bit accumulator collects those parts; the generator chose starting values that keep each part at or above 0 and
// has proved that each stays below 2^21, so they separate without borrows. An odd output is the high part of one
// accumulator plus the low part of the next.
//
// A row of 8 taps is 4 weight words, and there are up to 10 rows. Rows 2 to 9 lie in the FPU's 32 registers, from where
// VMOV brings two words in 2 cycles; LDRD takes 3. Rows 0 and 1, which are needed least, lie at the end of the stack,
// where LDRD needs no pointer of its own. A row of the kernel outside the image is skipped by jumping into the unrolled
// rows. They all end at row 9: where kernel rows hang over the lower edge, the others move to the end, and so do their
// weights.
//
// The registers from s16 on are the caller's (AAPCS), hence VPUSH. An interrupt that uses the FPU saves the others: so
// does the processor itself.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

// Offsets in the stack frame. The weights of rows 0 and 1 come first. From FILTER to SKIP it is the kws_pairs_job.
#define START    32   /* both halves of an accumulator's starting value */
#define SCALE    40   /* multiplier and addend of the requantisation */
#define FILTER   48
#define ROWS     52
#define N_ROWS   56
#define HEAD     60
#define BLOCKS   64
#define BLOCK_BYTES 68
#define N_BLOCKS 72
#define OUTPUT   76
#define SKIP     80
#define X        84   /* of the block to come */
#define LEFT     88   /* blocks left in this row */
#define ENTRY    92   /* where the unrolled rows of a block begin for this row */
#define FIRST    96   /* the unrolled row that has the filter's first weights, if any has */
#define FRAME    104

#define HEAD_ROW_CODE  56  /* bytes of code of one head_row */
#define BLOCK_ROW_CODE 88

#include "kws_pairs_outputs.h"

// Half a row for three accumulators; the left half of the first lies outside the image. r7, r8: its weights.
    .macro head_products
    ldmia.w r6!, {r9, r10, r11}
    smlal r0, r1, r9, r8
    smlal r2, r3, r9, r7
    smlal r2, r3, r10, r8
    smlal r4, r5, r10, r7
    smlal r4, r5, r11, r8
    .endm

// Half a row for four accumulators. r9, r10: its weights.
    .macro block_products
    ldmia.w r8!, {r11, r12, lr}
    smlal r0, r1, r11, r9
    smlal r0, r1, r12, r10
    smlal r2, r3, r12, r9
    smlal r2, r3, lr, r10
    smlal r4, r5, lr, r9
    ldmia.w r8!, {r11, r12}
    smlal r4, r5, r11, r10
    smlal r6, r7, r11, r9
    smlal r6, r7, r12, r10
    .endm

// A row with its weights on the stack, and one with its weights in four registers.
    .macro row_of_stack products, w, v, i
    ldrd \w, \v, [sp, #16 * \i]
    \products
    ldrd \w, \v, [sp, #16 * \i + 8]
    \products
    .endm

    .macro row_of_fpu products, w, v, a, b, c, d
    vmov \w, \v, \a, \b
    \products
    vmov \w, \v, \c, \d
    \products
    .endm

    .macro ten_rows products, w, v
    row_of_stack \products, \w, \v, 0
    row_of_stack \products, \w, \v, 1
    row_of_fpu \products, \w, \v, s0, s1, s2, s3
    row_of_fpu \products, \w, \v, s4, s5, s6, s7
    row_of_fpu \products, \w, \v, s8, s9, s10, s11
    row_of_fpu \products, \w, \v, s12, s13, s14, s15
    row_of_fpu \products, \w, \v, s16, s17, s18, s19
    row_of_fpu \products, \w, \v, s20, s21, s22, s23
    row_of_fpu \products, \w, \v, s24, s25, s26, s27
    row_of_fpu \products, \w, \v, s28, s29, s30, s31
    .endm

    .section .text.kws_pairs_filter_rows, "ax", %progbits
    .global kws_pairs_filter_rows
    .type kws_pairs_filter_rows, %function
    .thumb_func
    .p2align 2
kws_pairs_filter_rows:  // r0: kws_pairs_job
    push {r3-r11, lr}
    vpush {s16-s31}
    sub sp, sp, #FRAME
    add r9, sp, #FILTER
    ldm r0, {r0-r8}
    stm r9, {r0-r8}
    add r0, r0, #160        // behind the weights
    ldm r0!, {r4-r7}
    add r1, sp, #START
    stm r1!, {r4-r7}
    str r0, [sp, #FIRST]    // an address: none of the rows

.Lrow:
    ldr r0, [sp, #ROWS]
    ldr r4, [sp, #FIRST]
    ldr r1, [r0], #4
    str r0, [sp, #ROWS]
    lsrs r7, r1, #24        // where the first weights have to be
    cmp r7, r4
    bne.w .Lload
.Lloaded:
    uxth r2, r1             // first input row
    ubfx r3, r1, #16, #8    // kernel rows inside the image
    ldrd r6, r5, [sp, #HEAD]
    ldr r0, [sp, #N_BLOCKS]
    add r4, r2, r2, lsl #1
    add r2, r2, r2, lsl #2
    add r6, r6, r4, lsl #3  // 24 bytes a row
    add r5, r5, r2, lsl #3  // 40 bytes a row
    str r5, [sp, #X]
    str r0, [sp, #LEFT]
    adr.w r7, .Lblock_end + 1
    movs r0, #BLOCK_ROW_CODE
    mls r7, r3, r0, r7
    str r7, [sp, #ENTRY]
    adr.w r7, .Lhead_end + 1
    movs r0, #HEAD_ROW_CODE
    mls r7, r3, r0, r7
    ldrd r0, r1, [sp, #START]
    mov r2, r0
    mov r3, r1
    mov r4, r0
    mov r5, r1
    bx r7

.Lload:                     // the filter's weights, from unrolled row r7 on; keeps r1
    str r7, [sp, #FIRST]
    ldr r0, [sp, #FILTER]
    adr.w r2, .Lload_row + 1
    add r2, r2, r7, lsl #2
    bx r2
    .p2align 2
.Lload_row:                 // 4 bytes a row
    b.w .Lload_row_0        // these two: below
    b.w .Lload_row_1
.Lload_row_2:
    vldmia r0!, {s0-s3}
    vldmia r0!, {s4-s7}
    vldmia r0!, {s8-s11}
    vldmia r0!, {s12-s15}
    vldmia r0!, {s16-s19}
    vldmia r0!, {s20-s23}
    vldmia r0!, {s24-s27}
    vldmia r0!, {s28-s31}
    b.w .Lloaded

    .p2align 2
    ten_rows head_products, r7, r8
    .p2align 2
.Lhead_end:
    head_outputs

.Lblock:
    begin_block

.Lload_row_0:
    ldm r0!, {r2-r5}
    stm sp, {r2-r5}
.Lload_row_1:
    ldm r0!, {r2-r5}
    strd r2, r3, [sp, #16]
    strd r4, r5, [sp, #24]
    b.w .Lload_row_2

    .p2align 2
    ten_rows block_products, r9, r10
    .p2align 2
.Lblock_end:
    block_outputs

    add sp, sp, #FRAME
    vpop {s16-s31}
    pop {r3-r11, pc}
    .size kws_pairs_filter_rows, . - kws_pairs_filter_rows
#endif
