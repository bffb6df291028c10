// void kws_dot4_w2_s8(const int8_t* x, const uint32_t* packed, int32_t n_words, int32_t* sums)
//
// Four dot products of 4 * n_words int8 inputs with weights of 2 bits, n_words even.
//
// packed: for each four inputs one word of weights, with as many unused words in front as make a multiple of 28, a block;
// before each four blocks three words, see below.
//
// One SMLAD does four products of two inputs with the weights of two outputs. A half word that AND leaves holds a weight
// w of the first in its upper two bits, a number with a sign, 2^14 times w; and 1 - w of the second in its lower two,
// 0..3. So an accumulator gathers 2^14 times the first product and, below, the inputs' sum less the second. Of the lower
// part 14 bits are known; the whole is followed by what it grows in 28 inputs, which the packing has proved to fit 14
// bits with a sign. The upper part has 18 bits: 448 * 128 * 2 < 2^17. After so many inputs all parts move to the sums.
//
// UMAAL adds up the inputs, two packed pairs at once; for that neither half may be negative. SXTAB16 adds the mask to
// the inputs, because it is at hand: it makes them large, and the products wrong by a constant. The three words are where
// the inputs' sum and the accumulators have to start for all to be right in the end. On the way the lower part is that of
// inputs greater by 3, as 0xC003 is 3 above a multiple of 2^14.
//
// Weights come through 28 registers of the FPU, so that no pointer to them has to stay. The registers from s16 on are
// the caller's (AAPCS), hence VPUSH.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

#define BLOCK_WORDS 28
#define CHUNK_BYTES 448  /* of weights: four blocks */

// Offsets in the stack frame. The four sums come first.
#define WEIGHTS 16  /* of the next block */
#define END 20      /* of this chunk's weights */
#define ALL_END 24
#define SUMS 80     /* above 12 registers of the FPU */
#define FRAME 32

    .macro four_inputs x, w
    sxtab16 r9, r1, \x
    sxtab16 \x, r1, \x, ror #8
    and.w r8, r1, \w
    smlad r4, r9, r8, r4
    and r8, r1, \w, ror #4
    smlad r4, \x, r8, r4
    and r8, r1, \w, ror #8
    smlad r5, r9, r8, r5
    and \w, r1, \w, ror #12
    smlad r5, \x, \w, r5
    umaal r3, r9, \x, r2
    .endm

    .macro follow  // the lower parts of both accumulators
    sub.w r8, r4, r6
    sbfx r8, r8, #0, #14
    add r6, r6, r8
    sub.w r8, r5, r7
    sbfx r8, r8, #0, #14
    add r7, r7, r8
    .endm

    .macro load a, b
    ldrd r10, r11, [r0], #8
    vmov r12, lr, \a, \b
    .endm

    .macro eight_inputs a, b
    load \a, \b
    four_inputs r10, r12
    four_inputs r11, lr
    .endm

    .section .text.kws_dot4_w2_s8, "ax", %progbits
    .global kws_dot4_w2_s8
    .type kws_dot4_w2_s8, %function
    .thumb_func
    .p2align 2
kws_dot4_w2_s8:
    push {r3-r11, lr}
    vpush {s16-s27}
    sub sp, sp, #FRAME
    mov r8, #0
    mov r9, #0
    mov r10, #0
    mov r11, #0
    stm sp, {r8-r11}
    mov r3, #BLOCK_WORDS
    add r4, r2, #BLOCK_WORDS - 1
    udiv r4, r4, r3
    add r5, r4, #3          // four blocks in a chunk
    lsr r5, r5, #2
    add r5, r5, r5, lsl #1
    mul r4, r4, r3
    add r5, r5, r4
    add r5, r1, r5, lsl #2
    str r5, [sp, #ALL_END]
    sub r9, r4, r2          // words in front that are no weights
    lsr r9, r9, #1
    mov r8, r1
    movw r1, #0xC003
    movt r1, #0xC003
    mov r2, #1
.Lchunk:                    // r8: weights, r9: where in the block to begin
    ldmia r8!, {r3-r5}
    sbfx r6, r4, #0, #14
    sbfx r7, r5, #0, #14
    add r10, r8, #CHUNK_BYTES
    ldr r11, [sp, #ALL_END]
    cmp r10, r11
    it hi
    movhi r10, r11
    str r10, [sp, #END]
    vldmia r8!, {s0-s27}
    str r8, [sp, #WEIGHTS]
    tbh [pc, r9, lsl #1]
.Lplaces:
    .hword (.Lpair_0 - .Lplaces) / 2
    .hword (.Lpair_1 - .Lplaces) / 2
    .hword (.Lpair_2 - .Lplaces) / 2
    .hword (.Lpair_3 - .Lplaces) / 2
    .hword (.Lpair_4 - .Lplaces) / 2
    .hword (.Lpair_5 - .Lplaces) / 2
    .hword (.Lpair_6 - .Lplaces) / 2
    .hword (.Lpair_7 - .Lplaces) / 2
    .hword (.Lpair_8 - .Lplaces) / 2
    .hword (.Lpair_9 - .Lplaces) / 2
    .hword (.Lpair_10 - .Lplaces) / 2
    .hword (.Lpair_11 - .Lplaces) / 2
    .hword (.Lpair_12 - .Lplaces) / 2
    .hword (.Lpair_13 - .Lplaces) / 2
    .p2align 2
.Lblock:
    vldmia r8!, {s0-s27}
    str r8, [sp, #WEIGHTS]
.Lpair_0:
    eight_inputs s0, s1
.Lpair_1:
    eight_inputs s2, s3
.Lpair_2:
    eight_inputs s4, s5
.Lpair_3:
    load s6, s7
    four_inputs r10, r12
    follow
    four_inputs r11, lr
.Lpair_4:
    eight_inputs s8, s9
.Lpair_5:
    eight_inputs s10, s11
.Lpair_6:
    eight_inputs s12, s13
    follow
.Lpair_7:
    eight_inputs s14, s15
.Lpair_8:
    eight_inputs s16, s17
.Lpair_9:
    eight_inputs s18, s19
.Lpair_10:
    load s20, s21
    four_inputs r10, r12
    follow
    four_inputs r11, lr
.Lpair_11:
    eight_inputs s22, s23
.Lpair_12:
    eight_inputs s24, s25
.Lpair_13:
    eight_inputs s26, s27
    follow
    ldrd r8, r9, [sp, #WEIGHTS]
    cmp r8, r9
    bne.w .Lblock

    sxth r9, r3             // the inputs' sum
    sub r3, r3, r9
    add r9, r9, r3, asr #16
    sub r4, r4, r6
    sub r5, r5, r7
    sub r6, r9, r6
    sub r7, r9, r7
    ldm sp, {r9-r12}
    add r9, r9, r4, asr #14
    add r10, r10, r6
    add r11, r11, r5, asr #14
    add r12, r12, r7
    stm sp, {r9-r12}
    ldr r3, [sp, #ALL_END]
    cmp r8, r3
    mov r9, #0
    bne.w .Lchunk
    ldr r0, [sp, #SUMS]
    ldm sp, {r9-r12}
    stm r0, {r9-r12}
    add sp, sp, #FRAME
    vpop {s16-s27}
    pop {r3-r11, pc}
    .size kws_dot4_w2_s8, . - kws_dot4_w2_s8
#endif
