"""Spanish: calls written by hand, the bars of generated calls, and talk that stays."""

from random import Random

import pytest

from pipeline.redaction.detect import Profile, detect, mask_text
from pipeline.redaction.languages import pick
from pipeline.redaction.reading import reader
from pipeline.redaction.words import decode, read
from tests.pipeline.redaction.played import is_clean, play
from tests.pipeline.redaction.spanish_calls import BENIGN, secret_call
from tests.pipeline.redaction.spoken_calls import Said, plain
from topics.records import Track

pytestmark = pytest.mark.unit

SPANISH = Profile(languages=("es",))
BOTH = Profile(languages=("en", "es"))
CALLS = 60
FULLY_CLEAN = 0.97
MASKED_BENIGN = 0.01


def _redacted(*lines: str, profile: Profile = SPANISH) -> list[str]:
    """Redact lines `c: words` or `a: words` and write each with one token for each masked run."""
    readings, at_ms = [], 0
    for line in lines:
        track: Track = "customer" if line.startswith("c:") else "agent"
        texts = line[3:].split()
        starts = [at_ms + 300 * place for place in range(len(texts))]
        at_ms = starts[-1] + 900
        ends = [start + 280 for start in starts]
        readings.append(reader(pick(profile.languages))(track, True, texts, starts, ends, starts[0]))
    out = []
    for line, row in zip(lines, detect(readings, frozenset(), 0, profile).masks, strict=True):
        before = ["", *row]
        words = zip(line[3:].split(), row, before, strict=False)
        out.append(" ".join(f"[{kind}]" if kind else word for word, kind, last in words if not kind or kind != last))
    return out


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("cuatro uno doble cero", "4100"),
        ("cuarenta y uno once", "4111"),
        ("dieciséis veintidós", "1622"),
        ("dieciseis veintidos", "1622"),
        ("Treinta y Un dos", "312"),
        ("treinta, cinco", "35"),
        ("cien", "100"),
        ("ciento cinco", "105"),
        ("doscientos cincuenta y tres", "253"),
        ("quinientas doce", "512"),
        ("mil novecientos ochenta y cinco", "1985"),
        ("mil doscientos", "1200"),
        ("cinco mil", "5000"),
        ("cuatro mil ciento once", "4111"),
        ("dos millones", "2000000"),
        ("tres ceros", "000"),
        ("triple nueve", "999"),
    ],
)
def test_number_words_decode_to_digits(said: str, digits: str) -> None:
    atoms = [atom for word in said.split() for atom in read(word, pick(("es",))).atoms]
    assert digits == "".join(digit for digit, _ in decode(atoms))


@pytest.mark.parametrize("profile", [SPANISH, BOTH], ids=["Spanish", "English and Spanish"])
@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("c: mi tarjeta es cuatro uno" + 14 * " uno",), "mi tarjeta es [CREDITCARD]"),
        (("c: es la 4111 1111 1111 1111 gracias",), "es la [CREDITCARD] gracias"),
        (("c: cuarenta y uno once once once once once once once",), "[CREDITCARD]"),
        (("a: me dice el código de seguridad", "c: sí es el siete cuatro dos"), "sí es el [CVV]"),
        (("a: los tres digitos del reverso", "c: setecientos cuarenta y dos"), "[CVV]"),
        (("a: la fecha de vencimiento", "c: cero cinco veintisiete"), "[EXPIRY]"),
        (("a: ¿cuándo caduca su tarjeta?", "c: en mayo de dos mil veintisiete"), "en [EXPIRY]"),
        (("c: mi seguro social es uno dos tres cuarenta y cinco seis siete ocho nueve",), "mi seguro social es [SSN]"),
        (("c: mi numero de cuenta es cinco cinco ocho uno dos dos",), "mi numero de cuenta es [BANKACCOUNT]"),
        (("a: ¿un teléfono?", "c: seiscientos doce treinta y cuatro cincuenta y seis setenta y ocho"), "[PHONE]"),
        (("c: me puede marcar al 55 12 34 56 78",), "me puede marcar al [PHONE]"),
        (("a: su fecha de nacimiento", "c: el tres de marzo de mil novecientos ochenta y cinco"), "el [DOB]"),
        (("c: nací el 3 de marzo del 85",), "nací el [DOB]"),
        (("c: mi correo es juan punto perez arroba gmail punto com vale",), "mi correo es [EMAIL] vale"),
        (("c: es brudro guion bajo zelwick arroba empresa punto com punto mx",), "es [EMAIL]"),
        (("a: ¿me da su correo?", "c: sí ana maria lopez arroba hotmail punto es"), "sí [EMAIL]"),
        (("c: hola me llamo María de la Cruz Zelwicka y tengo una duda",), "hola me llamo [NAME] y tengo una duda"),
        (("c: mi nombre es josé brudro llamo por mi factura",), "mi nombre es [NAME] llamo por mi factura"),
        (("a: ¿con quién tengo el gusto?", "c: con Kaverlin Mastro"), "con [NAME]"),
        (("a: ¿me deletrea su apellido?", "c: sí eme a erre te i ene"), "sí [NAME]"),
        (("c: vivo en la calle mayor número doce piso tres b",), "vivo en la [ADDRESS]"),
        (("c: avenida de los insurgentes sur 1234",), "[ADDRESS]"),
        (("c: carrera siete número veintitrés cuarenta y cinco",), "[ADDRESS]"),
        (("a: su código postal", "c: veintiocho cero trece"), "[ADDRESS]"),
        (("c: la clave es cuatro cinco seis siete",), "la clave es [PII]"),
    ],
)  # fmt: skip
def test_secret_is_masked_with_its_type(lines: tuple[str, ...], text: str, profile: Profile) -> None:
    assert text == _redacted(*lines, profile=profile)[-1]


@pytest.mark.parametrize("line", BENIGN)
def test_everyday_talk_stays(line: str) -> None:
    assert [line] == _redacted(f"c: {line}")


@pytest.mark.parametrize("noise", [0.0, 0.15], ids=["heard well", "misheard, without accents"])
def test_generated_calls_are_fully_clean(noise: float) -> None:
    calls = [(secret_call(seed, noise), seed) for seed in range(CALLS)]
    clean = sum(is_clean(play(call, seed, SPANISH), call) for call, seed in calls)
    assert clean >= FULLY_CLEAN * CALLS


def test_generated_talk_stays() -> None:
    masked = words = 0
    for seed in range(20):
        random = Random(seed)
        call = [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(20)]
        played = play(call, seed, SPANISH)
        masked += played.masked_plain
        words += played.plain
    assert masked <= MASKED_BENIGN * words


def test_name_is_recognised_again_without_its_accent() -> None:
    assert mask_text("Llamó Brudró.", frozenset({"brudro"}), (), SPANISH) == "Llamó [NAME]"


def test_english_profile_knows_no_spanish() -> None:
    assert _redacted("c: la clave es cuatro cinco seis siete", profile=Profile()) == [
        "la clave es cuatro cinco seis siete"
    ]
