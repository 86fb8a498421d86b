"""How a request is submitted once: plan, journal, evidence."""
