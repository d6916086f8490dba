"""How the load is made and measured, in rooms; what users may import is named in docs/writing-a-client.md."""
