// From reset to main: the vector table, the FPU, .data and .bss, and the two functions a compiler may call unasked.
#include <stddef.h>
#include <stdint.h>

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);

void reset_handler(void) {
  *(volatile uint32_t*)0xE000ED88 |= 0xFu << 20;  // CPACR: full access to the FPU
  const uint32_t* from = &data_load;
  for (uint32_t* to = &data_start; to < &data_end;) *to++ = *from++;
  for (uint32_t* to = &bss_start; to < &bss_end;) *to++ = 0;
  main();
  for (;;) __asm volatile("wfi");
}

// A fault stops here, where the emulator sees it.
void fault_handler(void) {
  for (;;) __asm volatile("bkpt 0");
}

__attribute__((section(".vectors"), used)) static const void* const vectors[] = {
    &stack_top, (const void*)reset_handler, (const void*)fault_handler, (const void*)fault_handler,
    (const void*)fault_handler, (const void*)fault_handler, (const void*)fault_handler,
};

// Four words at a time while both addresses are even words, upwards.
static void copy_up(uint8_t* to, const uint8_t* from, size_t n) {
  if ((((uintptr_t)to | (uintptr_t)from) & 3) == 0)
    for (; n >= 16; n -= 16)
      __asm volatile("ldmia %0!, {r3, r4, r5, r6}\n\tstmia %1!, {r3, r4, r5, r6}"
                     : "+r"(from), "+r"(to)
                     :
                     : "r3", "r4", "r5", "r6", "memory");
  while (n--) *to++ = *from++;
}

void* memcpy(void* restrict to, const void* restrict from, size_t n) {
  copy_up(to, from, n);
  return to;
}

void* memmove(void* to, const void* from, size_t n) {
  uint8_t* t = to;
  const uint8_t* f = from;
  if (t < f) {
    copy_up(t, f, n);
  } else {
    while (n--) t[n] = f[n];
  }
  return to;
}

void* memset(void* to, int value, size_t n) {
  uint8_t* t = to;
  while (n--) *t++ = (uint8_t)value;
  return to;
}

size_t strlen(const char* text) {
  size_t n = 0;
  while (text[n]) ++n;
  return n;
}

int strcmp(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char* a, const char* b, size_t n) {
  while (n && *a && *a == *b) ++a, ++b, --n;
  return n ? (uint8_t)*a - (uint8_t)*b : 0;
}
