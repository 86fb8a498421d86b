"""How one poller observes for many waits."""
