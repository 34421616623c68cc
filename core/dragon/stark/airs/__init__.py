"""The statements that can be proven, each as an `Air`."""
