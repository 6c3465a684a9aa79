"""The dialects that ship with the compiler, one package each; a dialect is a set of op records."""
