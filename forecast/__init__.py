"""What a run would measure, said before it is paid for: step times of an engine, its scheduler, forecasts.

Holds what one run teaches and what follows from it; what a run did measure belongs to `reports`.
"""
