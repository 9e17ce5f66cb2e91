"""How Stentor's built-in voice is made: from sentences and Debian's synthesizers to models/builtin."""
