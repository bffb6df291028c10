// int32_t kws_blocks_4x1_s8(const int8_t* x, const uint32_t* packed, int32_t n_groups)
//
// One output of kws_fully_connected_blocks_4x1_s8.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

    .macro product x, w
    sxtb16 r12, \x
    sxtb16 lr, \w
    smlad r3, r12, lr, r3
    sxtb16 \x, \x, ror #8
    sxtb16 \w, \w, ror #8
    smlad r3, \x, \w, r3
    .endm

    .section .text.kws_blocks_4x1_s8, "ax", %progbits
    .global kws_blocks_4x1_s8
    .type kws_blocks_4x1_s8, %function
    .thumb_func
    .p2align 2
kws_blocks_4x1_s8:
    push {r4-r11, lr}
    movs r3, #0             // sum
    push {r2, r3}
    movs r2, #0             // where the block before was, in fours of inputs
    b .Lany
    .p2align 2
.Lgroup:
    ldmia.w r1!, {r4-r8}    // distances, weights
    uxtab r9, r2, r4
    uxtab r10, r9, r4, ror #8
    uxtab r11, r10, r4, ror #16
    uxtab r2, r11, r4, ror #24
    ldr.w r9, [r0, r9, lsl #2]
    ldr.w r10, [r0, r10, lsl #2]
    ldr.w r11, [r0, r11, lsl #2]
    ldr.w r4, [r0, r2, lsl #2]
    product r9, r5
    product r10, r6
    product r11, r7
    product r4, r8
.Lany:
    ldr r12, [sp]
    subs r12, r12, #1
    str r12, [sp]
    bpl .Lgroup
    mov r0, r3
    add sp, sp, #8
    pop {r4-r11, pc}
    .size kws_blocks_4x1_s8, . - kws_blocks_4x1_s8
#endif
