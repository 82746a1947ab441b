"""One-time codes: found where a message has one, in several languages, and told apart from all other numbers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message import Message
from posthouse.message.reading import read_octets
from posthouse.message.reading.one_time_codes import codes_in
from posthouse.message.reading.readable_text import text_of_html


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your verification code is 123456.", ["123456"]),
        ("Your code: 123 456", ["123456"]),
        ("123-456 is your login code", ["123456"]),
        ("您的验证码是 8842，十分钟内有效", ["8842"]),
        ("【公司】验证码：654321", ["654321"]),
        ("G-123456 is your verification code", ["123456"]),
        ("Enter the code ABC-DEF to go on", ["ABC-DEF"]),
        ("Security code\n\nX7K9Q2\n", ["X7K9Q2"]),
        ("Your PIN is 4711. Call +49-1234-5678.", ["4711"]),
        ("Your one-time password (OTP) is 4711", ["4711"]),
        ("4711 is your code.", ["4711"]),
        ("482913 is your Acme verification code", ["482913"]),
        ("482913 is your Acme account login code", ["482913"]),
        ("48291355 is your Acme account recovery code", ["48291355"]),
        ("Use 482913 to sign in.", ["482913"]),
        ("Enter 4711 to log in", ["4711"]),
        ("Verify your address\n\n482913\n\nIt expires in 10 minutes.", ["482913"]),
        ("Verification: 482913", ["482913"]),
        ("Your code is 2026", ["2026"]),
        ("Your code is\n1 2 3 4 5 6\n", ["123456"]),
        ("Hello,\n\nhere is your code.\n\n482913\n\nBye", ["482913"]),
        ("482913\nYour verification code\n", ["482913"]),
        ("Enter this code to confirm your order:\n\n4711\n", ["4711"]),
        ("To place your order, enter 482913 as the code", ["482913"]),
        ("Token: A1B2C3", ["A1B2C3"]),
        ("Ihr Bestätigungscode lautet 482913.", ["482913"]),
        ("482913 ist Ihr Anmeldecode", ["482913"]),
        ("Votre code de vérification est : 482 913", ["482913"]),
        ("Tu código de verificación es 482913.", ["482913"]),
        ("O seu código de verificação é 482913", ["482913"]),
        ("Il tuo codice di verifica è 482913", ["482913"]),
        ("Je verificatiecode is 482913", ["482913"]),
        ("Twój kod to 482913", ["482913"]),
        ("Ваш код подтверждения: 482913", ["482913"]),
        ("Doğrulama kodunuz: 482913", ["482913"]),
        ("Din engångskod: 482913", ["482913"]),
        ("Mã xác minh của bạn là 482913", ["482913"]),
        ("Kode verifikasi Anda: 482913", ["482913"]),
        ("認証コード：４８２９１３", ["482913"]),
        ("認証コードは482913です", ["482913"]),
        ("인증번호는 482913 입니다", ["482913"]),
        ("인증번호 [482913]를 입력해 주세요", ["482913"]),
        ("رمز التحقق: 482913", ["482913"]),
        ("您的验证码为482913，请在5分钟内输入。", ["482913"]),
        ("482913是您的登录验证码", ["482913"]),
        ("482913（登录验证码）", ["482913"]),
        ("动态密码\n482913\n请勿告诉他人", ["482913"]),
        ("您好，驗證碼：4829", ["4829"]),
    ],
)
def test_a_code_is_found(text: str, codes: list[str]) -> None:
    assert codes_in(text) == codes


@pytest.mark.parametrize(
    "text",
    [
        "Order 123456 costs 1234.50",
        "The meeting is in 2026 in room 1234",
        "your code https://x.test/123456",
        "code 12345678901",
        "Order confirmation\n\nYour order 4711 has been sent.",
        "Confirm your address: your order 4711 waits for it.",
        "Your order 4711 is ready. The code is in another message.",
        "Your security settings were changed in 2026.",
        "Confirmation number 482913",
        "Booking code: 482913",
        "Your promo code is 482913",
        "Use the coupon code SAVE20 today",
        "Your tracking code: 4829135",
        "Invoice no. 4829 – confirm the payment",
        "Invoice number:\n482913\nConfirm it in your login.",
        "Your login on 12 April 2026 at 1430 hours",
        "Confirm your postal code 12345",
        "Log in to verify. Acme, 548 Market St, San Francisco, CA 94104",
        "Verify your address: Acme GmbH, Hauptstraße 1234, 10115 Berlin",
        "Verify your login by phone: 030 1234567",
        "Confirm by calling (555) 123-4567 for a code",
        "Text CODE to 24273 to confirm",
        "Your card ending in 4711 needs verification",
        "Security: a payment of 4500 USD",
        "Security: a payment of $4500",
        "Login to see your 1500 points",
        "error code 5501",
        "The source code has 4711 lines",
        "Sign in to read ticket #4711",
        "© 2026 Acme. Log in to your account 48291355.",
        "Your verification is valid for 3600 seconds",
        "Bestellung 4711: Bitte bestätigen Sie Ihre Anmeldung",
        "Ihr Gutscheincode: 482913",
        "Ihre Rechnung 482913. Der Code folgt.",
        "Votre commande 482913 : voir le code",
        "Code postal 75001",
        "Tu pedido 482913, código enviado",
        "Ваш заказ 482913, код отправлен",
        "您的订单 4711 已发货，验证码已另行发送",
        "订单号：482913，请登录查看",
        "您尾号4711的银行卡登录了账户",
        "验证邮箱：2026年开通",
        "请登录查看，金额 4711 元",
        "邮政编码 100080，请验证",
        "快递单号 48291355，取件码 4829",
        "客服电话 40012345，请勿泄露验证码",
        "注文番号 482913、ログインしてください",
        "주문번호 482913 확인 코드는 따로",
    ],
)
def test_another_number_is_no_code(text: str) -> None:
    assert codes_in(text) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Order 99887766 from 2026. Your code is 123456.", ["123456"]),
        ("Your code for order 4711 is 482913", ["482913"]),
        ("Your order 4711 has been placed.\nYour verification code: 9981", ["9981"]),
        ("Your verification code: 9981\nYour order: 4711", ["9981"]),
        ("Order\n4711\nCode\n9981\n", ["9981"]),
        ("Your code is 482913. Invoice 4829 of 2026. Acme, 12345 Berlin", ["482913"]),
        ("Account 55667788: use 482913 to verify your phone number", ["482913"]),
        ("您尾号4711的卡正在支付 1500 元，验证码 482913", ["482913"]),
        ("您的手机号 13800138000 的验证码是 482913", ["482913"]),
        ("订单4711的验证码：482913", ["482913"]),
        ("code A1B2C3 or code 482913", ["A1B2C3", "482913"]),
    ],
)
def test_a_code_among_other_numbers(text: str, codes: list[str]) -> None:
    assert codes_in(text) == codes


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("<p>Your code</p><div style='font-size:32px'>482 913</div><p>Order 4711</p>", ["482913"]),
        ("<h1>Sign in</h1><table><tr><td>4</td><td>8</td><td>2</td><td>9</td></tr></table>your code", ["4829"]),
        ("<table><tr><th>Order</th><td>4711</td></tr><tr><th>Code</th><td>9981</td></tr></table>", ["9981"]),
        ("<p>您的验证码</p><p><b>482913</b></p><p>客服 40012345</p>", ["482913"]),
        ("<p>Your code is <a href='https://x.test/?code=555555'>482913</a></p>", ["482913"]),
        ("<p>Your order <b>4711</b> is confirmed.</p>", []),
    ],
)
def test_codes_of_html(source: str, codes: list[str]) -> None:
    assert codes_in(text_of_html(source)) == codes


def test_a_message_has_the_codes_of_its_subject_and_of_its_text() -> None:
    order = Message(
        "ann@here.test", "bob@here.test", subject="Order confirmation", text="Your order 4711 is on its way."
    )
    login = Message("ann@here.test", "bob@here.test", subject="482913 is your code", text="Your order 4711 waits.")
    assert read_octets(order.as_bytes()).codes == ()
    assert read_octets(login.as_bytes()).codes == ("482913",)


@pytest.mark.parametrize(
    "piece",
    [
        "code 1234 ",
        "order 4711\n",
        "1234\n",
        "code\n",
        "code ",
        "1 2 3 4 ",
        "ABC-DEF ",
        "订单",
        "http://x",
        "+1 ",
        "12 A ",
    ],
)
def test_a_megabyte_is_read_in_time(piece: str) -> None:
    began = time.process_time()
    codes_in("code 4711 " + piece * ((1 << 20) // len(piece)))
    assert time.process_time() - began < 3


@given(st.text("code12 -:\nPINorder验证码号A.", max_size=80))
def test_anything_is_read(source: str) -> None:
    assert all(code for code in codes_in(source))
