"""What a unit, its hook and this host lack for a cluster: facts are collected, checked, shown; nothing is changed."""
