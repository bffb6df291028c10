// const uint32_t* kws_unpack_pairs_w4(const uint32_t* packed, uint32_t* words, uint32_t mask, uint32_t offset)
// const uint32_t* kws_unpack_pairs_w2(const uint32_t* packed, uint32_t* words, uint32_t mask, uint32_t offset)
//
// A filter of kws_conv2d_pairs from weights of 4 or 2 bits. packed: the weights, each one greater by 8 or 2 so that it
// is no negative number, then start, multiplier and addend as they are.
//
// A word of a filter is (low + (high << 21)) << shift. 2 bits: five such words lie in one, each 2 bits higher than the
// one before. 4 bits: four lie in one, 4 bits apart, and high is 16 bits above low, because 21 + 4 + 4 + 4 bits would not
// fit. The packed word is turned left by the shift. mask leaves a word, offset is what its weights are too great by.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

    .section .text.kws_unpack_pairs_w4, "ax", %progbits
    .global kws_unpack_pairs_w4
    .type kws_unpack_pairs_w4, %function
    .thumb_func
    .p2align 2
kws_unpack_pairs_w4:
    push {r4-r11, lr}
    .macro one_row from
    and r8, r2, \from
    and r9, r2, \from, ror #4
    and r10, r2, \from, ror #8
    and r11, r2, \from, ror #12
    pkhbt r8, r8, r8, lsl #5
    pkhbt r9, r9, r9, lsl #5
    pkhbt r10, r10, r10, lsl #5
    pkhbt r11, r11, r11, lsl #5
    sub.w r8, r8, r3
    sub.w r9, r9, r3
    sub.w r10, r10, r3
    sub.w r11, r11, r3
    stmia.w r1!, {r8-r11}
    .endm
    ldmia.w r0!, {r4-r7, r12}
    one_row r4
    one_row r5
    one_row r6
    one_row r7
    one_row r12
    ldmia.w r0!, {r4-r7, r12}
    one_row r4
    one_row r5
    one_row r6
    one_row r7
    one_row r12
    ldmia.w r0!, {r4-r7}
    stmia.w r1!, {r4-r7}
    pop {r4-r11, pc}
    .size kws_unpack_pairs_w4, . - kws_unpack_pairs_w4

    .section .text.kws_unpack_pairs_w2, "ax", %progbits
    .global kws_unpack_pairs_w2
    .type kws_unpack_pairs_w2, %function
    .thumb_func
    .p2align 2
kws_unpack_pairs_w2:
    push {r4-r11, lr}
    .macro five_words from
    and r8, r2, \from
    and r9, r2, \from, ror #2
    and r10, r2, \from, ror #4
    and r11, r2, \from, ror #6
    and lr, r2, \from, ror #8
    sub.w r8, r8, r3
    sub.w r9, r9, r3
    sub.w r10, r10, r3
    sub.w r11, r11, r3
    sub.w lr, lr, r3
    stmia.w r1!, {r8-r11, lr}
    .endm
    ldmia.w r0!, {r4-r7}
    five_words r4
    five_words r5
    five_words r6
    five_words r7
    ldmia.w r0!, {r4-r7}
    five_words r4
    five_words r5
    five_words r6
    five_words r7
    ldmia.w r0!, {r4-r7}
    stmia.w r1!, {r4-r7}
    pop {r4-r11, pc}
    .size kws_unpack_pairs_w2, . - kws_unpack_pairs_w2
#endif
