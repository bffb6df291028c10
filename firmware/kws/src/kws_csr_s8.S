// int32_t kws_csr_s8(const int8_t* x, const uint32_t* packed, int32_t n_groups)
//
// One output of kws_fully_connected_csr_s8. Four loads one after the other take 5 cycles: so four addresses come first.
#include "kws_cpu.h"

#if KWS_DSP
    .syntax unified
    .thumb

    .macro group
    ldmia.w r1!, {r4, r5}   // distances and weights
    uxtab r6, r0, r4
    uxtab r7, r6, r4, ror #8
    uxtab r8, r7, r4, ror #16
    uxtab r0, r8, r4, ror #24
    sxtb16 r9, r5
    sxtb16 r10, r5, ror #8
    ldrsb.w r6, [r6]
    ldrsb.w r7, [r7]
    ldrsb.w r8, [r8]
    ldrsb.w r11, [r0]
    smlabb r3, r6, r9, r3
    smlabb r3, r7, r10, r3
    smlabt r3, r8, r9, r3
    smlabt r3, r11, r10, r3
    .endm

#define GROUP_CODE 60  /* bytes */

    .section .text.kws_csr_s8, "ax", %progbits
    .global kws_csr_s8
    .type kws_csr_s8, %function
    .thumb_func
    .p2align 2
kws_csr_s8:
    push {r4-r11, lr}
    movs r3, #0             // sum
    and r4, r2, #3          // the groups beyond a multiple of four come first
    adr.w r5, .Lgroups_end + 1
    movs r6, #GROUP_CODE
    mls r5, r4, r6, r5
    lsr r2, r2, #2
    bx r5
    .p2align 2
.Lgroups:
    sub r2, r2, #1
    group
    group
    group
    group
    .p2align 2
.Lgroups_end:
    cmp r2, #0
    bne.w .Lgroups
    mov r0, r3
    pop {r4-r11, pc}
    .size kws_csr_s8, . - kws_csr_s8
#endif
