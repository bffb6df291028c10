// The library's entry header; there is nothing to do in a shim.
