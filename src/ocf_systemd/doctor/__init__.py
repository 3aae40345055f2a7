"""Checks a unit, its hook and this host for problems: facts are collected, pure checks judge them."""
