"""Layout of the generated files, as package data: no arithmetic, and no method, schedule or family by name."""
