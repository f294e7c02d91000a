"""Workers: they take jobs from queues and do them, on this machine or on a Ray cluster."""
