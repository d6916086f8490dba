"""What every room may use: errors for people, and strict YAML files."""
