"""Triggers, and the shared poller behind them."""
