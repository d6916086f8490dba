"""The verbs over run folders: judge, compare, history, audit."""
