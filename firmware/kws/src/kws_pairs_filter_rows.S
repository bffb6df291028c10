// One filter of kws_conv2d_pairs_s8 over some output rows, in Thumb-2.
//
// SMLAL multiplies two columns by two weights at once: (a + b X)(v + u X) = a v + (a u + b v) X + b u X^2, X = 2^21.
// Where v and u are neighbouring taps, the three parts belong to three neighbouring outputs, so every product counts.
// A 64-bit accumulator collects those parts; the generator chose starting values that keep each part at or above 0 and
// has proved that each stays below 2^21, so they separate without borrows. An odd output is the high part of one
// accumulator plus the low part of the next.
//
// A row of 8 taps is 4 weight words. They lie on the stack, where LDRD reaches them without a pointer of their own; a
// row of the kernel that lies outside the image is skipped by jumping into the unrolled rows.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

// Offsets in the stack frame. The weights come first: 10 rows of 16 bytes.
#define START    160  /* both halves of an accumulator's starting value */
#define SCALE    168  /* multiplier and addend of the requantisation */
#define OUTPUT   176
#define ROWS     180
#define N_ROWS   184
#define HEAD     188
#define BLOCKS   192
#define BLOCK_BYTES 196
#define N_BLOCKS 200
#define SKIP     204
#define X        208  /* of the block to come */
#define LEFT     212  /* blocks left in this row */
#define TAPS     216  /* kernel rows inside the image */
#define SHIFT    220  /* bytes between the weights' place and where the unrolled rows look for them */
#define FRAME    224

#define HEAD_ROW_CODE  56  /* bytes of code of one head_row */
#define BLOCK_ROW_CODE 88

// q = saturate((x * multiplier + (addend << 32)) >> 39). r is x, then q.
    .macro requantize r, multiplier, addend
    smmla \r, \r, \multiplier, \addend
    ssat \r, #8, \r, asr #7
    .endm

// The middle part of hi:lo, into lo.
    .macro middle lo, hi
    lsr \lo, \lo, #21
    bfi \lo, \hi, #11, #10
    .endm

// r becomes four bytes of output.
    .macro pack r, second, third, fourth
    bfi \r, \second, #8, #8
    bfi \r, \third, #16, #8
    bfi \r, \fourth, #24, #8
    .endm

// Three accumulators; the left half of the first lies outside the image.
    .macro head_row i
    .irp phase, 0, 8
    ldrd r7, r8, [sp, #16 * \i + \phase]
    ldmia.w r6!, {r9, r10, r11}
    smlal r0, r1, r9, r8
    smlal r2, r3, r9, r7
    smlal r2, r3, r10, r8
    smlal r4, r5, r10, r7
    smlal r4, r5, r11, r8
    .endr
    .endm

// Four accumulators.
    .macro block_row i
    .irp phase, 0, 8
    ldrd r9, r10, [sp, #16 * \i + \phase]
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
    .endr
    .endm

    .section .text.kws_pairs_filter_rows, "ax", %progbits
    .global kws_pairs_filter_rows
    .type kws_pairs_filter_rows, %function
    .thumb_func
    .p2align 2
kws_pairs_filter_rows:  // r0: kws_pairs_job
    push {r3-r11, lr}
    sub sp, sp, #FRAME
    ldm r0, {r0-r8}
    str r7, [sp, #OUTPUT]
    str r1, [sp, #ROWS]
    str r2, [sp, #N_ROWS]
    str r3, [sp, #HEAD]
    str r4, [sp, #BLOCKS]
    str r5, [sp, #BLOCK_BYTES]
    str r6, [sp, #N_BLOCKS]
    str r8, [sp, #SKIP]
    mov r1, sp
    vmov s0, r1
    .rept 5
    ldmia.w r0!, {r4-r11}
    stmia.w r1!, {r4-r11}
    .endr
    ldm r0, {r4-r7}
    stm r1, {r4-r7}

.Lrow:
    ldr r0, [sp, #ROWS]
    ldr r1, [r0], #4
    str r0, [sp, #ROWS]
    uxth r2, r1             // first input row
    ubfx r3, r1, #16, #8    // kernel rows inside the image
    lsr r7, r1, #24
    lsl r7, r7, #4
    ldrd r6, r8, [sp, #HEAD]
    ldr r9, [sp, #N_BLOCKS]
    add r2, r2, r2, lsl #2
    add r8, r8, r2, lsl #3  // 40 bytes a row
    ldrh r2, [r0, #-4]
    add r2, r2, r2, lsl #1
    add r6, r6, r2, lsl #3  // 24 bytes a row
    str r8, [sp, #X]
    str r9, [sp, #LEFT]
    str r3, [sp, #TAPS]
    str r7, [sp, #SHIFT]
    adr.w r8, .Lhead_end + 1
    mov r9, #HEAD_ROW_CODE
    mls r8, r3, r9, r8
    ldrd r0, r1, [sp, #START]
    mov r2, r0
    mov r3, r1
    mov r4, r0
    mov r5, r1
    sub sp, sp, r7
    bx r8
    .p2align 2
    .set i, 0
    .rept 10
    head_row i
    .set i, i + 1
    .endr
    .p2align 2
.Lhead_end:
    vmov r6, s0
    mov sp, r6
    ldrd r7, r8, [sp, #SCALE]
    ldr r12, [sp, #OUTPUT]
    ubfx r9, r2, #0, #21
    add r9, r9, r1, asr #10
    requantize r9, r7, r8
    middle r2, r3
    requantize r2, r7, r8
    ubfx r10, r4, #0, #21
    add r10, r10, r3, asr #10
    requantize r10, r7, r8
    middle r4, r5
    requantize r4, r7, r8
    pack r9, r2, r10, r4
    str r9, [r12], #4
    str r12, [sp, #OUTPUT]
    asr r5, r5, #10

.Lblock:                    // r5: the part that this block's first output has already
    ldr r8, [sp, #X]
    ldr r10, [sp, #BLOCK_BYTES]
    ldrd r11, r12, [sp, #TAPS]
    add r10, r10, r8
    str r10, [sp, #X]
    adr.w lr, .Lblock_end + 1
    mov r9, #BLOCK_ROW_CODE
    mls lr, r11, r9, lr
    ldrd r6, r7, [sp, #START]
    add r0, r6, r5
    mov r1, r7
    mov r2, r6
    mov r3, r7
    mov r4, r6
    mov r5, r7
    sub sp, sp, r12
    bx lr
    .p2align 2
    .set i, 0
    .rept 10
    block_row i
    .set i, i + 1
    .endr
    .p2align 2
.Lblock_end:
    vmov r8, s0
    mov sp, r8
    ldrd r9, r10, [sp, #SCALE]
    ldr r12, [sp, #OUTPUT]
    ubfx r8, r0, #0, #21
    requantize r8, r9, r10
    middle r0, r1
    requantize r0, r9, r10
    ubfx r11, r2, #0, #21
    add r11, r11, r1, asr #10
    requantize r11, r9, r10
    middle r2, r3
    requantize r2, r9, r10
    pack r8, r0, r11, r2
    ubfx r0, r4, #0, #21
    add r0, r0, r3, asr #10
    requantize r0, r9, r10
    middle r4, r5
    requantize r4, r9, r10
    ubfx r1, r6, #0, #21
    add r1, r1, r5, asr #10
    requantize r1, r9, r10
    middle r6, r7
    requantize r6, r9, r10
    pack r0, r4, r1, r6
    ldr r2, [sp, #LEFT]
    str r8, [r12], #4
    str r0, [r12], #4
    str r12, [sp, #OUTPUT]
    asr r5, r7, #10
    subs r2, r2, #1
    str r2, [sp, #LEFT]
    bne.w .Lblock

    ldr r1, [sp, #SKIP]
    ldr r0, [sp, #N_ROWS]
    add r12, r12, r1
    str r12, [sp, #OUTPUT]
    subs r0, r0, #1
    str r0, [sp, #N_ROWS]
    bne.w .Lrow

    add sp, sp, #FRAME
    pop {r3-r11, pc}
    .size kws_pairs_filter_rows, . - kws_pairs_filter_rows
#endif
