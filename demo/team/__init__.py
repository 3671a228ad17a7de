"""`make demo-board`: a team of agents at work, for a board that moves.

`projects.py` says what they work on, `specialist.py` how an agent works, `lead.py` how
the orchestrator plans, answers and clears away. What one person could do on the board,
such as answer a question, the orchestrator does itself after a while.
"""
