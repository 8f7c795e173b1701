"""What leaves a run: a directory that plain transformers or peft loads, with a card that says what
it is, and its way to the hub.
"""
