#!/usr/bin/env bash
# What pip can't bring: installed with apt where that is allowed; elsewhere, says what the tests do without.
set -u
declare -A package=([xxd]=xxd [chromium]=chromium [node]=nodejs [arm-none-eabi-gcc]=gcc-arm-none-eabi [qemu-system-arm]=qemu-system-arm [clang]="clang libclang-rt-dev")
declare -A tests=([xxd]="the comparison of g_model with xxd" [chromium]="the browser tests" [node]="the tests of the widgets' JavaScript" [arm-none-eabi-gcc]="the second compiler's tests" [qemu-system-arm]="the second emulator's tests" [clang]="the search for new paths by libFuzzer (random changes of its corpus run instead)")

missing=()
for command in "${!package[@]}"; do command -v "$command" >/dev/null || missing+=("$command"); done
[ ${#missing[@]} -eq 0 ] && exit 0

packages=()
for command in "${missing[@]}"; do packages+=(${package[$command]}); done
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
  echo "Installing ${packages[*]} with apt ..."
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
for command in "${missing[@]}"; do
  command -v "$command" >/dev/null || echo "Left out: ${tests[$command]}, because $command is not installed. On Debian: apt-get install ${package[$command]}"
done
exit 0
