"""The CUDA kernels on a CPU: their own source, compiled as C++, through the same launch functions.

    from minibert.kernels.cuda.emulator import device_array

    y, _ = dropout_forward(device_array(x), p=0.1, key=key)     # an array "on the device"
    y.get()                                                     # and back

What a GPU would do silently wrong is an error here, and `counted()` tells the bytes that went through global memory.
Needs g++ (C++20). See runtime.hpp for what is emulated and runtime.cpp for how.
"""

from .array import DeviceArray, device_array, no_synchronisation
from .library import EmulatorError, Traffic, counted, start_text, why_not

__all__ = [
    "DeviceArray",
    "EmulatorError",
    "Traffic",
    "counted",
    "device_array",
    "no_synchronisation",
    "start_text",
    "why_not",
]
