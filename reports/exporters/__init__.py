"""Our runs in the files of other tools, one module each, so that their dashboards read them; no figure of
ours.
"""
