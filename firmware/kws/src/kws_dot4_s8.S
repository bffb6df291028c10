// void kws_dot4_s8(const int8_t* x, const int32_t* packed, int32_t n_words, int32_t* sums)
//
// Four dot products of 4 * n_words int8 inputs with int8 weights. packed: four starting values, then for each four
// inputs one word of weights for each product.
//
// A word holds two halves 256 b + a of neighbouring weights. With inputs p (for a) and q (for b) the pair sum is
//   q (256 b + a) + (256 p - q) a = 256 (p a + q b),
// two SMLAD and one SXTB16 for four products instead of two and two. 256 p - q need not fit 16 bits, 256 p + (127 - q)
// does, exactly; the 127 a too many are in the starting values. 512 inputs cannot overflow 32 bits: 512 * 127 * 128 * 256
// + 256 * 127 * 127 + 255 < 2^31; after so many the bits above the eighth move to the sum.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

#define CHUNK 128  /* words between two such moves */

    .macro product sum, w
    smlad \sum, r12, \w, \sum
    sxtb16 \w, \w
    smlad \sum, lr, \w, \sum
    .endm

    .macro four_inputs
    ldr r12, [r0], #4
    ldmia.w r1!, {r8-r11}
    eor lr, r12, r3
    sxtb16 r12, r12, ror #8
    rev16.w lr, lr
    product r4, r8
    product r5, r9
    product r6, r10
    product r7, r11
    .endm

#define STEP_CODE 68  /* bytes of four_inputs */

    .section .text.kws_dot4_s8, "ax", %progbits
    .global kws_dot4_s8
    .type kws_dot4_s8, %function
    .thumb_func
    .p2align 2
kws_dot4_s8:
    push {r2-r11, lr}       // n_words and sums stay on the stack
    sub sp, sp, #20         // four sums
    ldmia.w r1!, {r4-r7}    // the starting values: upper 24 bits into the sums, the rest stays
    asr r8, r4, #8
    asr r9, r5, #8
    asr r10, r6, #8
    asr r11, r7, #8
    stm sp, {r8-r11}
    uxtb r4, r4
    uxtb r5, r5
    uxtb r6, r6
    uxtb r7, r7
    mov r3, #0x7F007F00
.Lchunk:
    ldr r2, [sp, #20]
    cmp r2, #CHUNK
    it gt
    movgt r2, #CHUNK
    ldr r8, [sp, #20]
    sub r8, r8, r2
    str r8, [sp, #20]
    and r8, r2, #3          // the steps beyond a multiple of four come first
    adr.w r9, .Lsteps_end + 1
    mov r10, #STEP_CODE
    mls r9, r8, r10, r9
    lsr r2, r2, #2
    bx r9
    .p2align 2
.Lsteps:
    sub r2, r2, #1
    four_inputs
    four_inputs
    four_inputs
    four_inputs
    .p2align 2
.Lsteps_end:
    cmp r2, #0
    bne.w .Lsteps

    ldm sp, {r8-r11}
    add r8, r8, r4, asr #8
    add r9, r9, r5, asr #8
    add r10, r10, r6, asr #8
    add r11, r11, r7, asr #8
    ldrd r2, r12, [sp, #20]
    cbz r2, .Ldone
    stm sp, {r8-r11}
    uxtb r4, r4
    uxtb r5, r5
    uxtb r6, r6
    uxtb r7, r7
    b .Lchunk
.Ldone:
    stm r12, {r8-r11}
    add sp, sp, #28
    pop {r4-r11, pc}
    .size kws_dot4_s8, . - kws_dot4_s8
#endif
