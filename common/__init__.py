"""What every room may use: errors for people, strict YAML files, and how a command line is read."""
