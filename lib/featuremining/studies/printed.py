"""Numbers as a paper prints them: text with its digits, and what the digits leave open."""

import re


class Printed(float):
    """A printed number. Its digits stay; arithmetic gives plain floats. A `ValueError` for anything but digits as text.

    >>> number = Printed("76.90")
    >>> str(number), number, number.half, number - 1
    ('76.90', Printed('76.90'), 0.005, 75.9)
    """

    text: str

    def __new__(cls, text: str):
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            raise ValueError(f'a printed number is its digits as text, such as "76.90", got {text!r}')
        number = super().__new__(cls, text)
        number.text = text
        return number

    @property
    def half(self) -> float:
        """Of its last digit: by how much it may have been rounded."""
        return 0.5 / 10 ** len(self.text.partition(".")[2])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Printed({self.text!r})"

    def __getnewargs__(self):
        return (self.text,)
