"""The bundled server: a Valkey that the first command of a project starts."""
