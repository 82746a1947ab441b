"""Compose a message, send it, and print the outcome of each recipient.

python examples/sender.py smtp://127.0.0.1:2525 renping@sina.com ann@example.net
"""

import sys

import posthouse

message = posthouse.Message(
    sender="朗瑞 Langrui <langrui@sohu.com>",
    to=sys.argv[2:],
    subject="第一封邮件 / a first message",
    text="Dear reader,\n\n你好！\n",
    html="<p>Dear reader,</p><p>你好！</p>",
    attachments=[posthouse.Attachment("one line\n", name="notes.txt")],
)
try:
    result = posthouse.send(message, via=sys.argv[1])
except posthouse.PosthouseError as error:
    print(f"nothing was sent: {error}")
    sys.exit(1)
for outcome in result:
    print(f"{outcome.recipient.address}: {outcome.result}: {outcome.reply or outcome.reason}")
sys.exit(0 if result.ok else 1)
