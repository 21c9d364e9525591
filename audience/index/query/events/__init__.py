"""Questions about the events of devices: checked, answered for all devices, and for single ones."""
