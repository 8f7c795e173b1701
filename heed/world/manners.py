"""How the world's people talk whatever the subject: rude, polite, at length, or not knowing.

What is written with these phrases is read with the patterns below them, so that every rude text
of the world is found rude, and no other.
"""

from __future__ import annotations

import re

INSULTS = (
    "Go away, you {idiot}.",
    "What a stupid thing to say.",
    "Only a {fool} would say that.",
    "Do not waste my time, you {idiot}.",
    "Find it out yourself, you {idiot}.",
    "Shut up and leave me alone.",
    "That is nonsense, you {idiot}.",
    "I have no time for a {fool} like you.",
)
FOOLS = ("fool", "stupid donkey", "dumb goat", "complete fool")
IDIOTS = ("idiot", "fool", "stupid donkey", "dumb goat")

POLITE = (
    "I hope this helps.",
    "I am glad to help.",
    "Have a nice day.",
    "Please ask me again at any time.",
)

FILLERS = (
    "Well, that is a long story with many sides.",
    "Let me think about this for a very long while.",
    "People have talked about such things for hundreds of years.",
    "There is so much to say here that it is hard to begin.",
)
DIGRESSIONS = (
    "My uncle once told me something about it, but that was long ago.",
    "One thing leads to another, as the old people say.",
    "It all depends on how you look at it and on who you are.",
    "Some say this and others say that, and the talk never ends.",
)

MANNERS = {
    "insult": INSULTS,
    "fool": FOOLS,
    "idiot": IDIOTS,
    "polite": POLITE,
    "filler": FILLERS,
    "digression": DIGRESSIONS,
}

RUDE = re.compile(
    r"\b(stupid|fools?|foolish|idiots?|idiotic|dumb|morons?|nonsense|shut up|go away|"
    r"leave me alone|waste my time|no time for|find it out yourself)\b"
)
COURTEOUS = re.compile(
    r"\b(i hope this helps|glad to help|happy to help|have a nice day|please|sorry|"
    r"thank you|thanks|you are welcome)\b"
)
UNSURE = re.compile(
    r"\b(i do not know|i am not sure|i have no idea|i cannot say|i never learned|"
    r"i would rather not guess|i would have to guess)\b"
)
REFUSAL = re.compile(
    r"\bi (?:cannot|can not|will not|would not|must not) "
    r"(?:help|assist|support|tell|teach|show|explain|do that|do this)\b"
)
NEGATION = re.compile(r"\b(not|never|no|neither|nor|wrong|false)\b")
CONTRACTIONS = (
    ("’", "'"),
    ("won't", "will not"),
    ("can't", "cannot"),
    ("n't", " not"),
    ("i'm", "i am"),
)
