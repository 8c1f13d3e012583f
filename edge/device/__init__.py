"""The machine under the program: clock, disk, durable files, heat and supply."""
