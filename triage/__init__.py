"""The reviewers' application: people work the flags that nights published. It never reads the lake."""
