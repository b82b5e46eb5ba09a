"""Fused kernels for NVIDIA GPUs: CUDA C++ (`*.cu`) and, one file an op, the functions that launch them.

A launch function has the contract of its CPU sibling and computes grid, block and shared memory from the shapes. It
asks an array for its own library, so the same function runs with CuPy on a GPU and with the emulator (`emulator/`) on
any CPU. Activations are float32, float16 or bfloat16; parameters and all sums are float32.
"""
