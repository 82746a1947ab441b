"""A Flask application that mails: a receipt at once, and a newsletter that the local daemon sends.

POSTHOUSE_URL=smtps://name:password@mail.example.org flask --app flask_shop run
"""

from flask import Flask

from posthouse import Message
from posthouse.flask import Mail

app = Flask("shop")
mail = Mail(app)


@app.post("/orders/<int:number>")
def order(number: int) -> dict[str, bool]:
    receipt = Message("shop@example.org", "ann@example.net", subject=f"Order {number}", text="Thank you!")
    return {"mailed": mail.send(receipt).ok}


@app.post("/newsletter/<name>")
def newsletter(name: str) -> dict[str, str]:
    letter = Message("shop@example.org", f"{name}@example.net", subject="News", text="Nothing new.")
    return {"id": mail.enqueue(letter, key=f"news-1-{name}").queue_id}  # durable, and once for each name
