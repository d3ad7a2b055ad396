// The reviewers' keyboard.
