// kws_sqrt64 at once and digit by digit: next to every kind of edge, and all over.
#include "check.h"
#include "kws_math.h"

static void check(uint64_t x) {
  if (kws_sqrt64(x) == kws_sqrt64_digits(x)) return;
  fprintf(stderr, "%llu: ", (unsigned long long)x);
  CHECK(kws_sqrt64(x) == kws_sqrt64_digits(x));
}

// Around root^2, where the whole part changes, and around (root + 1/2)^2, where the rounding does.
static void check_near(uint64_t root) {
  for (uint64_t i = 0; i <= 4; ++i) {
    check(root * root + i - 2);
    check(root * root + root + i - 2);
  }
}

int main(void) {
  CHECK(kws_sqrt64(0) == 0 && kws_sqrt64(2) == 1 && kws_sqrt64(3) == 2 && kws_sqrt64(UINT64_MAX) == 0xFFFFFFFF);
  CHECK(kws_sqrt64(0xFFFFFFFF) == 0xFFFF && kws_sqrt64(0x100000000) == 0x10000);
  for (uint64_t root = 0; root < 0x12000; ++root) check_near(root);
  for (int bit = 16; bit <= 32; ++bit)
    for (uint64_t i = 0; i < 4000; ++i) check_near(((uint64_t)1 << bit) + i - 2000);
  for (uint64_t i = 0; i < 4000; ++i) check(UINT64_MAX - i);
  uint64_t state = 1;
  for (int i = 0; i < 1000000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    check(state >> (i % 64));
    check_near(state >> (32 + i % 32));
    check_near(state >> (38 + i % 8));
  }
  return failures;
}
