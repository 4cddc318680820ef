"""The intermediate representation between a tableau and text: five operations, straight lines, no arithmetic."""
