// For kws_pairs_filter_rows.S and kws_pairs_kept_rows.S: from accumulators to outputs, and from one block and row to the
// next. START, SCALE, ... LEFT are the offsets of each in its stack frame; .Lblock and .Lrow are its labels.
#ifndef KWS_PAIRS_OUTPUTS_H_
#define KWS_PAIRS_OUTPUTS_H_
#ifdef __ASSEMBLER__

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

// The four outputs of a row's head.
    .macro head_outputs
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
    .endm

// The accumulators of a block begin; r5: the part that its first output has already. Then to the code at ENTRY.
    .macro begin_block
    ldr r8, [sp, #X]
    ldr r6, [sp, #BLOCK_BYTES]
    ldr lr, [sp, #ENTRY]
    add r6, r6, r8
    str r6, [sp, #X]
    ldrd r6, r7, [sp, #START]
    adds r0, r6, r5
    mov r1, r7
    mov r2, r6
    mov r3, r7
    mov r4, r6
    mov r5, r7
    bx lr
    .endm

// The eight outputs of a block; then the next block, the next row, or on.
    .macro block_outputs
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
    .endm

#endif
#endif
