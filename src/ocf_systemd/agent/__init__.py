"""One action as Pacemaker calls it: environment in, exit code and exit reason out."""
