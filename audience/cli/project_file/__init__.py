"""The project file `audience.toml`: values of options that a project uses again and again."""
