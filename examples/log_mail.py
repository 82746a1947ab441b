"""A program whose errors are mailed: the first at once, the others as a digest with counts.

python log_mail.py smtps://name:password@mail.example.org ops@example.org
"""

import logging
import sys

from posthouse.logging import MailHandler

via, operator = sys.argv[1:]
logging.getLogger().addHandler(MailHandler("app@example.org", operator, via, subject="shop"))
for number in range(1000):
    try:
        print(1 / (number % 10))
    except ZeroDivisionError:
        logging.exception("order %d cannot be divided", number)
# At the end of the program, what waits is sent within 2 s.
