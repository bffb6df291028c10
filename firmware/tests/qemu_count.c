// A plugin for QEMU that counts the instructions it executes and writes the number to the file named by its argument:
// qemu-system-arm -plugin libqemu_count.so,count=COUNT ...
//
// Debian brings no qemu-plugin.h, so the few functions are declared here, as version 1 of the interface has them.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb*));
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn* instruction, int add, void* counter,
                                                       uint64_t amount);
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void*), void* user);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void* info, int argc, char** argv);

int qemu_plugin_version = 1;

static uint64_t executed;
static char path[4096];

static void translated(plugin_id id, struct qemu_plugin_tb* block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i)
    qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(block, i), 0, &executed, 1);
}

static void ended(plugin_id id, void* user) {
  (void)id;
  (void)user;
  FILE* file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "%" PRIu64 "\n", executed);
  fclose(file);
}

int qemu_plugin_install(plugin_id id, const void* info, int argc, char** argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], "count=", 6) != 0 || strlen(argv[0] + 6) >= sizeof path) return 1;
  strcpy(path, argv[0] + 6);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
