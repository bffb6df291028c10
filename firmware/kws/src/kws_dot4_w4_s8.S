// void kws_dot4_w4_s8(const int8_t* x, const uint32_t* packed, int32_t n_steps, int32_t* sums)
//
// Four dot products of 8 * n_steps int8 inputs with weights of 4 bits. packed: for each eight inputs one word of
// weights for each product.
//
// A nibble in the upper bits of a half word is a number with a sign, 4096 times the weight: AND makes two of them from a
// word, and SMLAD multiplies both. 504 inputs cannot overflow 32 bits: 504 * 128 * 8 * 4096 < 2^31; after so many, the
// bits above the twelfth move to the sum.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

#define UNROLLED 7  /* steps */
#define CHUNK 63    /* steps between two such moves */
#define STEP_BYTES 16

// Offsets in the stack frame. The four sums come first.
#define END 16      /* of this chunk's weights */
#define N_STEPS 20  /* left after it */
#define SUMS 24
#define FRAME 20

    .macro product sum, x, w, shift
    and r3, r2, \w, lsl #\shift
    smlad \sum, \x, r3, \sum
    .endm

    .macro last_product sum, x, w
    and.w \w, r2, \w
    smlad \sum, \x, \w, \sum
    .endm

    .macro four_inputs
    ldr lr, [r0], #4
    sxtb16 r12, lr
    sxtb16 lr, lr, ror #8
    .endm

    .macro eight_inputs  // a word's nibbles, from the lowest: inputs 0, 1, 4, 5, 2, 3, 6, 7
    ldmia.w r1!, {r8-r11}
    four_inputs
    product r4, r12, r8, 12
    product r5, r12, r9, 12
    product r6, r12, r10, 12
    product r7, r12, r11, 12
    product r4, lr, r8, 8
    product r5, lr, r9, 8
    product r6, lr, r10, 8
    product r7, lr, r11, 8
    four_inputs
    product r4, r12, r8, 4
    product r5, r12, r9, 4
    product r6, r12, r10, 4
    product r7, r12, r11, 4
    last_product r4, lr, r8
    last_product r5, lr, r9
    last_product r6, lr, r10
    last_product r7, lr, r11
    .endm

#define STEP_CODE 156  /* bytes of eight_inputs */

    .section .text.kws_dot4_w4_s8, "ax", %progbits
    .global kws_dot4_w4_s8
    .type kws_dot4_w4_s8, %function
    .thumb_func
    .p2align 2
kws_dot4_w4_s8:
    push {r2-r11, lr}
    sub sp, sp, #FRAME
    mov r8, #0
    mov r9, #0
    mov r10, #0
    mov r11, #0
    stm sp, {r8-r11}
.Lchunk:
    ldr r2, [sp, #N_STEPS]
    cmp r2, #CHUNK
    it gt
    movgt r2, #CHUNK
    ldr r3, [sp, #N_STEPS]
    sub r3, r3, r2
    str r3, [sp, #N_STEPS]
    add r3, r1, r2, lsl #4  // STEP_BYTES
    str r3, [sp, #END]
    mov r4, #UNROLLED       // the steps beyond a multiple of that come first
    udiv r3, r2, r4
    mls r3, r3, r4, r2
    adr.w r5, .Lsteps_end + 1
    cmp r3, #0
    it eq
    moveq r3, #UNROLLED
    mov r6, #STEP_CODE
    mls r3, r3, r6, r5
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
    mov r2, #0xF000F000
    bx r3
    .p2align 2
.Lsteps:
    eight_inputs
    eight_inputs
    eight_inputs
    eight_inputs
    eight_inputs
    eight_inputs
    eight_inputs
    .p2align 2
.Lsteps_end:
    ldr r3, [sp, #END]
    cmp r1, r3
    bne.w .Lsteps

    ldm sp, {r8-r11}
    add r8, r8, r4, asr #12
    add r9, r9, r5, asr #12
    add r10, r10, r6, asr #12
    add r11, r11, r7, asr #12
    stm sp, {r8-r11}
    ldr r2, [sp, #N_STEPS]
    cmp r2, #0
    bne.w .Lchunk
    ldr r12, [sp, #SUMS]
    stm r12, {r8-r11}
    add sp, sp, #FRAME + 8
    pop {r4-r11, pc}
    .size kws_dot4_w4_s8, . - kws_dot4_w4_s8
#endif
