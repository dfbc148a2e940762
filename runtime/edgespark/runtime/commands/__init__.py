"""The commands of `edgespark`, one module each: `main(arguments) -> exit code`."""
