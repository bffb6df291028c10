"The cycle model against snippets counted by hand with Arm's tables (DDI 0439: 3-1, 7-1) and its rules for neighbours."

import subprocess
import sys

import pytest
from elftools.elf.elffile import ELFFile

from kws_nb.core import firmware_dir
from kws_nb.protocol_emulated import DIVISION_CYCLES, TAKEN_BRANCH_CYCLES, BoardFault, Machine, block_cost

P = TAKEN_BRANCH_CYCLES
TARGET = ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"]

# name: (snippet, instructions, cycles)
SNIPPETS = dict(
    moves=("mov r0, r1; movw r2, #4660; movt r2, #22136; mvn r3, r4", 4, 4),
    arithmetic=(
        "adds r0, r1, r2; sub r3, r4, #1; rsb r5, r6, r7, lsl #2; "
        "adc r0, r1, r2; cmp r0, #3; clz r1, r2",
        6,
        6,
    ),
    bits=(
        "ubfx r0, r1, #3, #5; bfi r2, r3, #1, #4; rev r4, r5; "
        "sxtb r6, r7; uxtab r0, r1, r2; ssat r3, #8, r4; usat r5, #4, r6",
        7,
        7,
    ),
    multiply=(
        "mul r0, r1, r2; mla r3, r4, r5, r6; mls r0, r1, r2, r3; "
        "smull r4, r5, r6, r7; umlal r0, r1, r2, r3; umaal r4, r5, r6, r7",
        6,
        6,
    ),
    dsp=(
        "smlad r0, r1, r2, r3; smlald r4, r5, r6, r7; smlabb r0, r1, r2, r3; "
        "smmlar r4, r5, r6, r7; sxtb16 r0, r1; pkhbt r2, r3, r4; qadd r5, r6, r7",
        7,
        7,
    ),
    divide=("sdiv r0, r1, r2; udiv r3, r4, r5", 2, 2 * DIVISION_CYCLES),
    load=("ldr r0, [r1]", 1, 2),
    loads_that_overlap=("ldr r0, [r1]; ldr r2, [r3]; ldrb r4, [r5, #1]; ldrsh r6, [r7, r1]", 4, 2 + 1 + 1 + 1),
    load_from_a_loaded_address=("ldr r0, [r1]; ldr r2, [r0]", 2, 2 + 2),
    load_from_a_loaded_index=("ldr r0, [r1]; ldr r2, [r3, r0, lsl #2]", 2, 2 + 2),
    loads_with_work_between=("ldr r0, [r1]; adds r2, r3, r4; ldr r5, [r6]", 3, 2 + 1 + 2),
    load_then_store=("ldr r0, [r1, r2]; str r0, [r3, #20]", 2, 2 + 1),
    load_then_indexed_store=("ldr r0, [r1, r2]; str r1, [r3, r2]", 2, 2 + 1),
    store=("str r0, [r1, #4]; strb r2, [r3]; strh r4, [r5, #2]!", 3, 3),
    indexed_store=("str r0, [r1, r2]", 1, 2),
    nothing_overlaps_with_a_store=("str r0, [r1, #4]; ldr r2, [r3]", 2, 1 + 2),
    address_just_computed=("add r1, r2, r3; ldr r0, [r1]", 2, 1 + 1 + 2),
    address_computed_before=("add r1, r2, r3; mov r4, r5; ldr r0, [r1]", 3, 1 + 1 + 2),
    stored_value_just_computed=("add r1, r2, r3; str r1, [r0]", 2, 1 + 1),
    second_result_as_address=("smull r0, r1, r2, r3; ldr r4, [r1]", 2, 1 + 1 + 2),
    double_words=("ldrd r0, r1, [r2]; strd r0, r1, [r3]", 2, 3 + 3),
    nothing_overlaps_with_a_double=("ldr r0, [r1]; ldrd r2, r3, [r4]; ldr r5, [r6]", 3, 2 + 3 + 2),
    load_multiple=("ldm r0!, {r1, r2, r3, r4, r5, r6, r7, r8}", 1, 1 + 8),
    load_multiple_and_jump=("ldm r0, {r1, r2, pc}", 1, 1 + 3),
    store_multiple=("stm r0!, {r1, r2, r3}; stmdb r4!, {r5, r6}", 2, 1 + 3 + 1 + 2),
    push=("push {r4, lr}; push {r4, r5, r6, r7, r8, r9, r10, r11, lr}", 2, 1 + 2 + 1 + 9),
    pop=("pop {r4, r5}", 1, 1 + 2),
    pop_and_return=("pop {r4, r5, pc}", 1, 1 + 3),
    load_the_program_counter=("ldr pc, [r0]", 1, 2),
    branches_not_taken=("1: beq 1b; cbz r0, 2f; 2: cbnz r1, 2f; 2: b 2f; 2:", 4, 4),
    calls_and_returns=("1: bl 1b; blx r0; bx lr", 3, 3),
    table_branch=("tbb [pc, r0]", 1, 2),
    if_then=("cmp r0, #0; ite eq; moveq r1, #1; movne r1, #2", 4, 4),
    exclusive=("ldrex r0, [r1]; strex r2, r0, [r3]", 2, 2 + 1),
    special_registers=("mrs r0, PRIMASK; msr PRIMASK, r0", 2, 2 + 2),
    barriers=("dsb; dmb; isb", 3, 1 + 1 + 1 + P),
    sleep=("nop; wfi", 2, 2),
    float_loads=("vldr s0, [r0]; vldr d1, [r0]; vstr s0, [r1]; vstr d1, [r1]", 4, 2 + 3 + 2 + 3),
    float_load_multiple=("vldmia r0!, {s0, s1, s2, s3}; vstmia r1!, {d0, d1}", 2, 1 + 4 + 1 + 4),
    float_push_pop=("vpush {d8, d9}; vpop {d8, d9}", 2, 1 + 4 + 1 + 4),
    float_arithmetic=(
        "vadd.f32 s0, s1, s2; vsub.f32 s3, s4, s5; "
        "vmul.f32 s6, s7, s8; vabs.f32 s9, s10; vneg.f32 s11, s12",
        5,
        5,
    ),
    float_divide=("vdiv.f32 s0, s1, s2; vsqrt.f32 s3, s4", 2, 14 + 14),
    float_multiply_add=("vmla.f32 s0, s1, s2; vfma.f32 s3, s4, s5; vfnms.f32 s6, s7, s8", 3, 9),
    float_just_computed=("vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2, 1 + 1 + 1),
    float_sum_just_computed=("vfma.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 2, 3 + 1 + 3),
    float_conversion_stored=("vcvt.s32.f32 s0, s1; vstr s0, [r0]", 2, 1 + 1 + 2),
    float_moves=("vmov.f32 s0, s1; vmov s2, r0; vmov r1, s3; vmov r2, r3, d4", 4, 1 + 2 + 2 + 2),
    float_flags=("vcmp.f32 s0, s1; vmrs APSR_nzcv, fpscr", 2, 2),
)  # fmt: skip


def assemble(source, output, *options):
    command = [sys.executable, "-m", "ziglang", "cc", *TARGET, *options, "-x", "assembler", "-", "-o", str(output)]
    done = subprocess.run(command, input=f".syntax unified\n.thumb\n{source}\n", text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    "Name -> machine code."
    sections = [f'.section .text.{name}, "ax"\n' + text.replace("; ", "\n") for name, (text, _, _) in SNIPPETS.items()]
    source = "\n".join(sections)
    elf = ELFFile(assemble(source, tmp_path_factory.mktemp("cycles") / "snippets.o", "-c").open("rb"))
    return {name: elf.get_section_by_name(f".text.{name}").data() for name in SNIPPETS}


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet(code, name):
    text, instructions, cycles = SNIPPETS[name]
    assert block_cost(code[name]) == (instructions, cycles), text


def run(tmp_path, body, limit_cycles=100_000):
    "A machine that has run an image up to its first WFI."
    source = f"""
        .section .vectors, "a"
        .word stack_top, reset_handler, fault, fault, fault, fault, fault
        .text
        .global reset_handler
        .type reset_handler, %function
        .thumb_func
    reset_handler:
        {body}
        wfi
        b .
    .size reset_handler, . - reset_handler
        .thumb_func
    fault: bkpt 0
    """
    link = ["-nostdlib", "-T", str(firmware_dir() / "emulated/link.ld"), "-Wl,-e,reset_handler"]
    image = assemble(source, tmp_path / "image.elf", *link)
    return Machine(image, limit_cycles=limit_cycles)


TAKEN = {
    "loop": ("movs r0, #10\n1: subs r0, r0, #1\n bne 1b", 1 + 20, P + 1 + 10 * 2 + 9 * P),
    "skip": ("movs r0, #0\n cbz r0, 1f\n nop\n 1: nop", 3, P + 1 + 1 + P + 1),
    "call": ("bl 1f\n b 2f\n 1: bx lr\n 2: nop", 4, P + 1 + P + 1 + P + 1 + P + 1),
    "pop to the program counter": (
        "ldr r0, =1f + 1\n push {r0}\n pop {pc}\n .ltorg\n 1: nop",
        4,
        P + 2 + 2 + 2 + P + 1,
    ),
    "load of the program counter": (
        "ldr r0, =3f\n ldr pc, [r0]\n .ltorg\n .align 2\n 3: .word 1f + 1\n 1: nop",
        3,
        P + 2 + 2 + P + 1,
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_branches_taken_refill_the_pipeline(tmp_path, name):
    body, instructions, cycles = TAKEN[name]
    machine = run(tmp_path, body)
    assert (machine.instructions, machine.cycles) == (instructions + 1, cycles + 1)  # and the WFI


def test_a_hung_image_is_stopped(tmp_path):
    with pytest.raises(BoardFault, match="hung at 0x.*100,000 cycles"):
        run(tmp_path, "b .")


def test_a_long_loop_that_waits_in_time_is_no_hang(tmp_path):
    assert run(tmp_path, "movw r0, #20000\n1: subs r0, r0, #1\n bne 1b").cycles == P + 1 + 20_000 * 2 + 19_999 * P + 1


CRASHES = {
    "nothing is there": "ldr r0, =0x30000000\n ldr r1, [r0]\n .ltorg",
    "undefined": "udf #0",
    "breakpoint": "bkpt 0",
    "no code there": "bl stack_top",
    "flash is not written": "ldr r0, =0\n str r0, [r0]\n b 1f\n .ltorg\n 1:",
}


@pytest.mark.parametrize("body", CRASHES.values(), ids=CRASHES)
def test_a_crash_is_reported(tmp_path, body):
    with pytest.raises(BoardFault, match="crashed at 0x"):
        run(tmp_path, body)


def test_the_painted_stack_shows_how_deep_it_was(tmp_path):
    shallow = run(tmp_path, "push {r0, r1}\n pop {r0, r1}")
    assert shallow.stack_bytes == 8
    push_25_times = "movs r2, #25\n 1: push {r0, r1}\n subs r2, r2, #1\n bne 1b"
    deep = run(tmp_path, f"movs r0, #0\n movs r1, #0\n {push_25_times}\n add sp, sp, #200")
    assert deep.stack_bytes == 200


def test_the_call_tree_follows_calls_returns_and_tail_calls(tmp_path):
    def function(name, body):
        return f".type {name}, %function\n.thumb_func\n{name}: {body}\n.size {name}, . - {name}\n"

    functions = function("leaf", "bx lr")
    functions += function("twice", "push {r4, lr}\n bl leaf\n bl leaf\n pop {r4, pc}")
    functions += function("tail", "nop\n b twice")
    machine = run(tmp_path, f"bl tail\n bl leaf\n b 9f\n {functions} 9:")
    tree = machine.call_tree

    def path(call):
        return (path(tree[call.caller]) if call.caller is not None else ()) + (call.function,)

    assert {path(call): (call.calls, call.instructions) for call in tree} == {
        ("reset_handler",): (0, 4),
        ("reset_handler", "tail"): (1, 2),
        ("reset_handler", "tail", "twice"): (1, 4),
        ("reset_handler", "tail", "twice", "leaf"): (2, 2),
        ("reset_handler", "leaf"): (1, 1),
    }
    assert sum(call.cycles for call in tree) == machine.cycles


def test_recursion_is_a_path_of_its_own(tmp_path):
    code = "push {r4, lr}\n subs r0, r0, #1\n beq 1f\n bl down\n 1: pop {r4, pc}"
    body = f".type down, %function\n.thumb_func\ndown: {code}\n.size down, . - down\n"
    machine = run(tmp_path, f"movs r0, #5\n bl down\n b 9f\n {body} 9:")
    depth = [call.calls for call in machine.call_tree if call.function == "down"]
    assert depth == [1] * 5
    assert sum(call.instructions for call in machine.call_tree) == machine.instructions
