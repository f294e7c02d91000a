"""The hardware: device and precision, memory, operations counted."""
