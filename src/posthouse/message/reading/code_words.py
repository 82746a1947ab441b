"""Words by which one-time codes and other numbers are told apart, in the languages that mail is mostly written in.

A label says what the number beside it is: ``neg`` (an order, a telephone, a postcode), ``strong`` (a code) or ``weak``
(an occasion for a code: a login, a confirmation).  Compounds of which one word would mislead ("postal code") stand in
``neg``, which is matched first.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["AROUND", "JOINED", "LABEL", "MASKED", "UNIT", "VERB", "YEAR"]

#: Codes that are none of those that one types: "promo code", "Gutscheincode", "code postal", "kod pocztowy".
_OTHER_CODES: Final = (
    r"\b(?:zip|post(?:al)?|area|country|dial(?:l?ing)?|promo(?:tion(?:al)?)?|discount|coupon|voucher|gift(?:[ -]card)?"
    r"|tracking|order|booking|reservation|product|item|article|error|status|reply|response|exit|reference|referral"
    r"|sort|swift|bank|branch|tax|source|bar|qr|dress|colou?r|morse|building|departement|rabatt|gutschein|aktions"
    r"|kunden|artikel|fehler|buchungs|kortings)[ -]?codes?\b"
    r"|\b(?:de|en|uni)codes?\b"
    r"|\bcodes?\s(?:postal|promo(?:tionnel)?|de\s(?:commande|r[ée]duction|suivi|r[ée]servation)|barres)\b"
    r"|\bc[oó]digos?\s(?:postal|promocional|de\s(?:descuento|desconto|pedido|seguimiento|rastreio|reserva|barras))\b"
    r"|\bcodice\s(?:fiscale|postale|sconto|ordine|cliente)\b|\bkod\s(?:pocztowy|rabatowy|zam[oó]wienia)\b"
    r"|\bkode\spos\b|\bm[aã]\s(?:đơn|giảm giá|vận đơn|bưu)\b|\bпромо-?код\w{0,3}|\bкод\s(?:заказа|товара|города)\b"
    r"|优惠码|优惠券码|折扣码|兑换码|券码|取件码|提货码|条形码|二维码|区号|邮政编码|郵便番号|注文番号|주문\s?번호|우편\s?번호"
)
#: Things that have a number.
_NUMBERED: Final = (
    r"\b(?:orders?|invoices?|bills?|receipts?|tickets?|cases?|bookings?|reservations?|references?|refs?|tracking"
    r"|parcels?|shipments?|packages?|deliver(?:y|ies)|customers?|clients?|members?|memberships?|accounts?|cards?"
    r"|transactions?|payments?|purchases?|contracts?|polic(?:y|ies)|ending\s(?:in|with)|ends\s(?:in|with)"
    r"|last\s(?:4|four)(?:\sdigits)?|(?:tele)?phones?|tel|fax|mobiles?|cell|call|hotline|helpline|whatsapp"
    r"|ext(?:ension)?|rooms?|suites?|floors?|buildings?|p\.?o\.?\sbox|box|streets?|zip|post(?:al|code)|amounts?"
    r"|totals?|subtotal|prices?|sum|balance|credits?|points?|years?|since|copyright|versions?|builds?|releases?|ports?"
    r"|articles?|items?|sku|products?|models?|serial|vat|tax|iban|flights?|trains?|seats?|gates?|pages?|chapters?"
    r"|sections?|issues?|pull\srequests?|rfc|iso|errors?|id|user\s?names?|confirmation\s(?:number|no)"
    r"|(?:text|reply|send|sms)\s(?:\w{1,12}\s){0,3}to"
    r"|numbers?|n[or]|num|n[º°]|bestellung|bestell-?n(?:umme)?r|bestellnummer|rechnung|rechnungsnummer|auftrag"
    r"|auftragsnummer|kundennummer|sendung|sendungsnummer|telefon|tel|plz|postleitzahl|betrag|summe|konto|jahr|nummer"
    r"|commandes?|factures?|num[ée]ro|t[ée]l[ée]phone|montant|colis|compte|ann[ée]e|pedidos?|facturas?|n[uú]mero"
    r"|tel[ée]fono|telefone|importe|cuenta|env[ií]o|encomenda|ordine|fattura|numero|importo|spedizione|bestelling"
    r"|factuur|bestelnummer|zam[oó]wieni[ea]|faktur[aęy]|telefonu?|order-?n(?:umme)?r|ordrenummer|sipari[sş]|fatura"
    r"|pesanan|đơn\shàng|hóa\sđơn|заказ\w{0,3}|сч[её]т\w{0,2}|телефон\w{0,3}|сумм[аы]|индекс|номер\w{0,2}|квитанци\w)\b"
    r"|[№©#]|订单号?|訂單|单号|單號|运单|运单号|快递|物流|发票|發票|账单|帳單|邮编|郵遞區號|电话|電話|手机号?码?|手機|热线|客服|尾号|末四位"
    r"|金额|金額|合计|总计|余额|餘額|编号|編號|工号|会员号|会员卡|客户号|账号|帳號|卡号|车次|航班|座位|房间|门牌|版本|端口|积分"
    r"|注文|請求書|電話番号|金額|お客様番号|会員番号|追跡番号|伝票|주문|송장|전화|금액|청구서|고객|회원"
)
_STRONG: Final = (
    r"\b(?:verification|security|authentication|authentification|access|login|log-in|sign-in)\s(?:number|key)s?\b"
    r"|(?:code|kode|koodi)(?:[ns]|n?a|t|et)?\b|\bpass\s?codes?\b|\bpins?\b|\bm?otps?\b|\btans?\b|\btokens?\b"
    r"|\bone[- ]time[- ]pass(?:word|phrase|key)s?\b|\beinmal-?(?:passwort|kennwort|code)\b|\bmot\sde\spasse\s(?:à\s"
    r"usage\s)?unique\b|\bclave\b|\bc[oó]digos?\b|\bcodice\b|\bsenha\súnica\b|\bk[oó]d(?:u|unuz|en|em)?\b|kod(?:en|u|unuz)?\b"
    r"|\bкод[аеуом]{0,2}\b|\bпарол[ья]\b|\bm[aã]\s(?:xác\s(?:minh|nhận|thực)|otp|pin|bảo mật)\b|κωδικ[όο]ς"
    r"|验证码|校验码|动态码|动态密码|一次性密码|验证代码|确认码|安全码|激活码|登录码|口令"
    r"|驗證碼|認證碼|確認碼|動態密碼|一次性密碼|安全碼"
    r"|認証コード|確認コード|認証番号|ワンタイムパスワード|セキュリティコード|ログインコード|暗証番号|認証用コード"
    r"|인증\s?번호|인증\s?코드|확인\s?코드|보안\s?코드|일회용\s?비밀번호"
    r"|رمز|קוד|कोड|ओटीपी|รหัส"
)
_WEAK: Final = (
    r"\b(?:verification|verify|security|confirmation|confirm|authenticat\w{1,5}|two[- ]factor|2fa|one[- ]time|login"
    r"|log[- ]?in|sign[- ]?in|sign[- ]?up|best[äa]tig\w{2,5}|anmeld\w{2,5}|confirmer|connexion|connecter|confirmar"
    r"|verificar|iniciar\ssesi[oó]n|verificare|accedere|accesso|bevestig\w{2,4}|inloggen|подтвержд\w{3,5}|входа?)\b"
    r"|验证|驗證|登录|登錄|登入|認証|ログイン|인증|로그인"
)
#: The labels: each match is in the group of its kind.
LABEL: Final = re.compile(f"(?i)(?P<neg>{_OTHER_CODES}|{_NUMBERED})|(?P<strong>{_STRONG})|(?P<weak>{_WEAK})")

#: What a person does with a code, before its occasion: "enter 4711 to log in".
VERB: Final = re.compile(
    r"(?i)(?:\b(?:enter|use|using|type|with|provide|submit|paste|copy|eingeben|gib|geben|verwende\w?|nutze\w?|mit"
    r"|saisi\w{2,5}|entrez|utilise[rz]|avec|introdu\w{2,5}|ingres[ae]\w?|us[ea]|usando|inserisci|digit[ae]|voer|gebruik"
    r"|wpisz|введите|используйте)\b|输入|輸入|使用|填写|入力|입력)"
)
#: What may stand between a label and the number that it labels.
JOINED: Final = re.compile(
    r"(?i)[\s:：=*_\"'“”「」『』《》【】\[\](){}（）>»|–—-]*"
    r"(?:(?:is|are|was|below|ist|lautet|est|es|son|é|sono|è|jest|is\snow|to|—|это|olan|adalah|là|は|이|은|는|is:|为|為|是|：)"
    r"[\s:：=*_\"'“”「」『』【】\[\](（>»–—-]*)?"
)
#: What may stand between a number and the label behind it: "is your", "ist Ihr", "是您的", or brackets of the label.
AROUND: Final = re.compile(
    r"(?i)[\s)\]}*_\"'”」』】>»,，:：–—-]*(?:(?:is|are|as|ist|est|es|é|è|jest|は|が|은|는|이|为|為|是|作为|это))?\s*"
    r"(?:(?:the|your|you|our|a|an|my|this|ihr\w{0,2}|dein\w{0,2}|de[rn]|das|votre|ton|le|tu|su|el|seu|o|il|tuo|suo"
    r"|uw|je|de|twój|din|ваш|ve)\s+|您的|你的|本次的?|貴方の|あなたの|귀하의)*(?:[\w.&'’]{1,20}\s){0,2}"
)
#: What behind a number makes it a quantity, an hour or a year.
UNIT: Final = re.compile(
    r"(?i)\s?(?:[年月日号元円个件次人位条台张份分秒天米%€$£¥₽₹]|号楼|分钟|小时|点|积分|公里|원|년|개|명"
    r"|(?:usd|eur|gbp|cny|rmb|jpy|chf|dollars?|euros?|pounds?|yuan|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|h|days?"
    r"|weeks?|months?|years?|minuten|stunden|sekunden|tage|uhr|items?|people|users?|members?|points?|miles|credits"
    r"|times|words|characters|lines|[kmg]i?b|bytes|kg|km|cm|mm|am|pm|руб\w{0,3})\b)"
)
YEAR: Final = re.compile(r"(?:19|20)\d\d")
#: Stretches in which no number is a code: web and mail addresses, telephones, dates, hours, sums, places.
MASKED: Final = re.compile(
    r"(?i:https?://|www\.)[^\s<>\"'\u3000-\u303f\uff00-\uffef]{1,2000}"
    r"|[\w.+-]{1,64}@[\w.-]{1,255}"
    r"|\+\d[\d \u00a0()/.-]{5,20}\d"
    r"|\(0?\d{2,5}\)[ -]?\d[\d -]{3,12}\d|(?<!\d)0\d{1,4}[ /-]\d{3,8}(?:[ -]\d{2,8}){0,3}(?!\d)"
    r"|(?<!\d)\d{3}[-. ]\d{3}[-. ]\d{4}(?!\d)|(?<!\d)[48]00[- ]\d{3,4}[- ]\d{3,4}(?!\d)"
    r"|(?<!\d)\d{4}[-/.]\d{1,2}[-/.]\d{1,4}(?!\d)|(?<!\d)\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}(?!\d)"
    r"|(?<!\d)(?:\d{4} (?:-|–|to|bis) \d{4}|(?:19|20)\d\d[-–](?:19|20)\d\d)(?!\d)"
    r"|[$€£¥￥₽₹] ?\d[\d ,.]*|(?i:\b(?:usd|eur|gbp|cny|rmb|chf|jpy)) ?\d[\d ,.]*"
    r"|\b[A-Z]{2},? \d{5}(?:-\d{4})?\b"
    r"|(?<![\d-])\d{5}(?:-\d{4})? (?!(?:Is|Your|As|To|For|Code)\b)[A-ZÄÖÜ][a-zäöüß]{2,}(?=[\s,.]|$)"
    r"|(?<!\d)\d{2,5} (?:[A-Z][\w.]{0,20} ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Parkway|Pkwy|Drive|Dr"
    r"|Lane|Way|Square|Court|Place)\b"
    r"|\b\w{2,30}(?:straße|strasse|str\.|weg|platz|gasse) \d{1,4}\b"
)
