"""How many dimensions matter: the gap in their spread, and the information that each adds."""
