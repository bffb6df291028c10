// void kws_dot4_blocks_s8(const int8_t* x, const uint32_t* packed, int32_t n_groups, int32_t* sums)
//
// kws_dot4_s8 over some of the inputs only. packed: four starting values, then for each four blocks of four inputs a word
// with their distances (8 bits each, in fours of inputs), and for each block one word of weights for each product.
//
// 512 inputs are 32 groups; after so many the bits above the eighth move to the sum, as they do there.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

#define CHUNK 32  /* groups between two such moves */
#define GROUPS 20 /* in the stack frame: those to come */
#define END    16 /* of this chunk's groups */

    .macro product sum, w
    smlad \sum, r12, \w, \sum
    sxtb16 \w, \w
    smlad \sum, lr, \w, \sum
    .endm

// r2: the distances.
    .macro block distance
    uxtb r8, r2, ror #\distance
    add r0, r0, r8, lsl #2
    ldmia.w r1!, {r8-r11}
    ldr r12, [r0]
    eor lr, r12, r3
    sxtb16 r12, r12, ror #8
    rev16.w lr, lr
    product r4, r8
    product r5, r9
    product r6, r10
    product r7, r11
    .endm

    .section .text.kws_dot4_blocks_s8, "ax", %progbits
    .global kws_dot4_blocks_s8
    .type kws_dot4_blocks_s8, %function
    .thumb_func
    .p2align 2
kws_dot4_blocks_s8:
    push {r2-r11, lr}       // n_groups and sums stay on the stack
    sub sp, sp, #20         // four sums, and where the chunk ends
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
    ldr r2, [sp, #GROUPS]
    cmp r2, #0
    beq.w .Ldone
    cmp r2, #CHUNK
    it gt
    movgt r2, #CHUNK
    ldr r8, [sp, #GROUPS]
    sub r8, r8, r2
    str r8, [sp, #GROUPS]
    add r2, r2, r2, lsl #4  // 17 words a group
    add r2, r1, r2, lsl #2
    str r2, [sp, #END]
.Lgroup:
    ldr r2, [r1], #4
    block 0
    block 8
    block 16
    block 24
    ldr r2, [sp, #END]
    cmp r1, r2
    bne.w .Lgroup

    ldm sp, {r8-r11}
    add r8, r8, r4, asr #8
    add r9, r9, r5, asr #8
    add r10, r10, r6, asr #8
    add r11, r11, r7, asr #8
    stm sp, {r8-r11}
    uxtb r4, r4
    uxtb r5, r5
    uxtb r6, r6
    uxtb r7, r7
    b .Lchunk
.Ldone:
    ldr r12, [sp, #(GROUPS + 4)]
    ldm sp, {r8-r11}
    stm r12, {r8-r11}
    add sp, sp, #28
    pop {r4-r11, pc}
    .size kws_dot4_blocks_s8, . - kws_dot4_blocks_s8
#endif
