"""Spanish calls with known secrets, American and European; shares no table and no speller with the detector.

Owns what people say in tests: how numbers are said in Spanish, what an ASR makes of it, and talk that hides nothing.
"""

import unicodedata
from collections.abc import Iterator
from random import Random

from tests.pipeline.redaction.spoken_calls import Said, Spoken, card_number, plain, split, surname

CIFRAS = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
HASTA_29 = (
    "diez", "once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve",
    "veinte", "veintiuno", "veintidós", "veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete",
    "veintiocho", "veintinueve",
)  # fmt: skip
DECENAS = ("", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")
CENTENAS = (
    "", "ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos",
    "ochocientos", "novecientos",
)  # fmt: skip
OIDO_MAL = {"cinco": "sinco", "nueve": "nuebe", "cuatro": "quatro", "cero": "sero", "tres": "trez"}
MULETILLAS = ("eh", "este", "y", "luego", "guion", "a ver")
SIGUE = ("sí", "ajá", "dígame", "adelante", "mande", "ok", "muy bien", "vale", "siga por favor")

TARJETA = ("me da el número de su tarjeta por favor", "dígame el número de la tarjeta", "¿con qué tarjeta va a pagar?")
ES_ELLA = ("sí es", "claro es la", "mi tarjeta es", "", "a ver es el")


def words_of(random: Random, digits: str, style: str) -> Iterator[tuple[str, int]]:
    """Say digits one by one, in pairs, in groups of three, doubled, or as an ASR writes them."""
    if style == "written":
        yield from ((digits[at : at + 4], len(digits[at : at + 4])) for at in range(0, len(digits), 4))
        return
    size = {"pairs": 2, "hundreds": 3}.get(style, 1)
    at = 0
    while at < len(digits):
        group = digits[at : at + size]
        if style == "doubled" and digits[at : at + 2] == digits[at] * 2:
            yield from (("doble", 0), (CIFRAS[int(digits[at])], 2))
            at += 2
            continue
        yield from below_thousand(group) if len(group) == size else ((CIFRAS[int(digit)], 1) for digit in group)
        at += size


def below_thousand(group: str) -> Iterator[tuple[str, int]]:
    """Say a group as one number, its leading zeros one by one."""
    if group.startswith("0") or len(group) == 1:
        yield CIFRAS[int(group[0])], 1
        yield from below_thousand(group[1:]) if len(group) > 1 else ()
    elif len(group) == 3:
        yield ("cien", 3) if group == "100" else (CENTENAS[int(group[0])], 3 if group[1:] == "00" else 1)
        yield from tens(group[1:]) if group[1:] != "00" else ()
    else:
        yield from tens(group)


def tens(group: str) -> Iterator[tuple[str, int]]:
    """Say a number below hundred; behind a hundred its zero is silent."""
    value = int(group)
    if value < 10:
        yield CIFRAS[value], 2
    elif value < 30:
        yield HASTA_29[value - 10], 2
    else:
        yield DECENAS[value // 10], 2 if value % 10 == 0 else 1
        yield from (("y", 0), (CIFRAS[value % 10], 1)) if value % 10 else ()


def heard(random: Random, word: str, noise: float) -> str:
    """Return what an ASR writes: without accents, in another case, misspelt, at a rate."""
    if random.random() < noise:
        word = "".join(char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char))
    if random.random() < noise / 2:
        word = OIDO_MAL.get(word, word)
    return word.capitalize() if random.random() < noise else word


def dictated(random: Random, secret: str, digits: str, lead: str, noise: float) -> Iterator[Said]:
    """Dictate a number over one to four turns, with the agent's go-aheads and read-backs between."""
    told: list[Spoken] = []
    for word, count in words_of(random, digits, random.choice(("units", "units", "pairs", "doubled", "written"))):
        if told and random.random() < noise / 2:
            told += plain(random.choice(MULETILLAS))
        told.append(Spoken(heard(random, word, noise), secret if word != "y" else "", count))
    parts = split(random, told, random.randint(1, 4))
    for number, part in enumerate(parts):
        yield Said("customer", (*plain(lead if number == 0 else ""), *part))
        if number < len(parts) - 1:
            yield Said("agent", plain(random.choice(SIGUE)))


def card_call(random: Random, noise: float) -> list[Said]:
    """A card, its expiry and its security code."""
    said = [Said("agent", plain(random.choice(TARJETA)))]
    said += dictated(random, "card", card_number(random), random.choice(ES_ELLA), noise)
    said.append(
        Said("agent", plain(random.choice(("la fecha de vencimiento", "¿y la fecha de caducidad?", "y la caducidad"))))
    )
    said += dictated(random, "expiry", f"{random.randint(1, 12):02}{random.randint(26, 32)}", "", 0)
    question = random.choice(
        ("el código de seguridad", "los tres dígitos de atrás", "y el cvv", "los tres del reverso")
    )
    said.append(Said("agent", plain(question)))
    code = f"{random.randrange(1000):03}"
    words = [*words_of(random, code, random.choice(("units", "hundreds")))]
    return [*said, Said("customer", (*plain("es el"), *(Spoken(word, "cvv", count) for word, count in words)))]


def phone_call(random: Random, noise: float) -> list[Said]:
    """A telephone number of Spain or Mexico."""
    digits = random.choice((f"6{random.randrange(10**8):08}", f"55{random.randrange(2 * 10**7, 10**8):08}"))
    question = random.choice(
        ("¿me da un teléfono de contacto?", "su número de celular por favor", "un móvil de contacto")
    )
    lead = random.choice(("", "sí es el", "claro apunte", "mi teléfono es el"))
    return [Said("agent", plain(question)), *dictated(random, "phone", digits, lead, noise)]


def social_call(random: Random, noise: float) -> list[Said]:
    """A social security number of the United States, in Spanish."""
    digits = f"{random.randint(100, 665)}{random.randint(10, 99)}{random.randint(1000, 9999)}"
    return [
        Said("agent", plain(random.choice(("su número de seguro social", "me confirma su seguro social por favor")))),
        *dictated(random, "ssn", digits, random.choice(("", "sí es", "es el")), noise),
    ]


def email_call(random: Random, noise: float) -> list[Said]:
    """An e-mail address, said or written."""
    first, last, domain = surname(random), surname(random), random.choice(("gmail", "hotmail", "northstar", "zelwick"))
    told = {
        "said": [first, "punto", last, "arroba", domain, "punto", "com"],
        "mexican": [first, "guion", "bajo", last, "arroba", domain, "punto", "com", "punto", "mx"],
        "digits": [first, "dos", "cinco", "arroba", domain, "punto", "es"],
        "written": [f"{first}.{last}@{domain}.com"],
    }[random.choice(("said", "mexican", "digits", "written"))]
    words = tuple(Spoken(heard(random, word, noise / 2), "email") for word in told)
    if random.random() < 0.5:
        return [Said("customer", (*plain("mi correo es"), *words))]
    return [Said("agent", plain("¿me da su correo electrónico?")), Said("customer", (*plain("sí claro"), *words))]


def name_call(random: Random, noise: float) -> list[Said]:
    """A name behind a carrier or a question, which recurs."""
    first, last = surname(random), surname(random)
    names = (Spoken(heard(random, first, noise), "name"), Spoken(heard(random, last, noise), "name"))
    carrier = random.choice(("hola me llamo", "buenos días mi nombre es", "está a nombre de"))
    question = random.choice(("¿cómo se llama usted?", "¿con quién tengo el gusto?", "su nombre completo por favor"))
    if random.random() < 0.5:
        said = [Said("customer", (*plain(carrier), *names))]
    else:
        said = [Said("agent", plain(question)), Said("customer", (*plain("sí claro"), *names))]
    thanks = (*plain("gracias"), Spoken(first, "name"), *plain("¿en qué puedo ayudarle?"))
    return [*said, Said("agent", thanks)]


def secret_call(seed: int, noise: float) -> list[Said]:
    """One call: talk, two secrets, talk."""
    random = Random(seed)
    said = [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(2)]
    for kind in random.sample((card_call, card_call, phone_call, social_call, email_call, name_call), 2):
        said += kind(random, noise)
        said += [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(2)]
    return [turn for turn in said if turn.words]


BENIGN = tuple(
    line
    for line in """
gracias por llamar a atención al cliente ¿en qué puedo ayudarle?
mi internet no funciona desde el lunes y pago cuarenta y nueve euros al mes
pago doscientos cincuenta pesos al mes por una sola línea
son cuatrocientos cincuenta dólares con veinticinco centavos
el total son 49,99 € más impuestos
le puedo ofrecer un veinte por ciento de descuento por seis meses
su número de pedido es cinco dos seis
el número de referencia es ocho uno cinco cinco dos
lo pedí el tres de marzo de dos mil veinticinco
la cita es el catorce de junio a las 10:30
¿puede venir a las diez treinta el jueves?
llevo quince años como cliente
llamé dos o tres veces la semana pasada
somos cuatro y uno de ellos está enfermo
un momento por favor
necesito hablar con un supervisor un minuto
el primero estaba bien pero el segundo se rompió
tarda de cinco a siete días hábiles
esperé cuarenta y cinco minutos en la línea
tenemos doscientos cincuenta empleados
son trescientos megas por segundo
mi factura subió de sesenta a noventa euros
desde dos mil diecinueve tenemos el mismo plan
en mil novecientos noventa y ocho era más barato
es un servicio veinticuatro siete
el técnico va entre las nueve y las once
¿es para una línea o para dos?
solo tengo una pregunta para usted
tiene un saldo de ciento veinte dólares
el reembolso es de $120.50 y tarda 5 días
quiero cancelar mi suscripción
no eso no es lo que dije
lamento mucho la molestia entiendo su frustración
perfecto ya le agregué el descuento
¿me lo puede repetir por favor?
llamo por mi última factura
me cobraron de más y quiero que me devuelvan el dinero
los primeros tres meses son gratis
compramos dos celulares y tres tabletas
es la tercera vez que llamo
mil gracias por su ayuda hasta luego
la calle está cerrada desde hace dos días
abrimos a las ocho y cerramos a las seis
fue el veintiuno de mayo
ya reinicié el módem cuatro veces
hasta cierto punto tiene razón
ándele pues muchas gracias
vale pues lo miro y te digo algo
no me aparece en el sistema
mi contrato vence en diciembre
cada uno paga lo suyo
se me cayó la llamada
esto es una vergüenza quiero poner una reclamación
""".strip().splitlines()
)
