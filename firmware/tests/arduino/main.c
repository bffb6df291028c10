// In C, because a freestanding C++ compiler gives main another name than startup.c calls.
void shim_run(void);

int main(void) {
  shim_run();
  return 0;
}
