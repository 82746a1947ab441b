"""Answer a stored message in its thread, everyone included, and write the answer to a file.

python examples/answer.py report.eml renping@sina.com answer.eml
"""

import sys

import posthouse

original = posthouse.read(sys.argv[1])
answer = posthouse.reply(original, sys.argv[2], text="Thank you.", html="<p>Thank you.</p>", everyone=True)
answer.save(sys.argv[3])
print("to:", *(each.address for each in answer.to))
print("cc:", *(each.address for each in answer.cc))
print("subject:", answer.subject)
