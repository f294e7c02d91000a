"""The hardware: device and precision, memory, counting of operations."""
