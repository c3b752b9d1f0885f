"""English names of numbers: the phrases after which a number is a card, a security code, an order number.

Owns phrases, not rules; commas part them. Written by hand for North American call-centre talk.
"""

from typing import Final


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


# By type; numbers under `` stay in the text.
CONTEXTS: Final[dict[str, tuple[str, ...]]] = {
    "CREDITCARD": _phrases(
        """
        card number, credit card, debit card, card is, card's, my card, your card, the card, this card, that
        card, new card, visa, mastercard, master card, amex, american express, discover card, card ending,
        ending in, sixteen digit, 16 digit, sixteen digits, long number, digits on the front, front of the card,
        on the card, full number, card details, card information, card on file, card
        """
    ),
    "CVV": _phrases(
        """
        security code, cvv, cvc, c v v, c v c, cv v, cvv2, csc, three digit, three digits, 3 digit, 3 digits,
        digits on the back, digit code, code on the back, number on the back, back of the card, back of your
        card, card verification, four digits on the front, the cv code
        """
    ),
    "EXPIRY": _phrases(
        """
        expiration, expiry, expires, expiring, expire, exp date, valid until, valid through, valid thru, good
        through, good thru
        """
    ),
    "SSN": _phrases(
        """
        social security, social, ssn, s s n, tax id, taxpayer, last four of your social, itin
        """
    ),
    "BANKACCOUNT": _phrases(
        """
        account number, bank account, checking account, savings account, checking, savings, iban, account is,
        account ending
        """
    ),
    "ROUTING": _phrases(
        """
        routing number, routing, aba, a b a, sort code, transit number
        """
    ),
    "PHONE": _phrases(
        """
        phone number, telephone, phone, cell number, cell phone, cell, mobile, callback number, call back
        number, call me at, call me back at, reach me at, reach you at, contact number, text me at, best number,
        call you at, call us at, number to reach
        """
    ),
    "DOB": _phrases(
        """
        date of birth, birthday, birth date, birthdate, born on, born in, born, d o b, dob, day of birth, year
        of birth
        """
    ),
    "ADDRESS": _phrases(
        """
        zip code, zip, postal code, zipcode, post code, postcode
        """
    ),
    "PII": _phrases(
        """
        pin, passcode, pin number, verification code, one time code, one-time code, password, passport, license
        number, driver's license, drivers license, member id, member number, policy number
        """
    ),
    "": _phrases(
        """
        order number, order, invoice number, invoice, ticket number, ticket, case number, reference number,
        reference, confirmation number, confirmation, tracking number, tracking, model number, model, serial
        number, version, flight, room, gate, error code, error, extension, channel, route, highway, interstate,
        page, chapter, suite, booking number, booking reference, purchase order, part number, item number,
        product number, claim number, quote number, work order, store number
        """
    ),
}
# Phrases that say little by themselves; a firmer one just before ("the expiration date on the card") outranks them.
WEAK_CONTEXTS: Final = frozenset(
    _phrases(
        """
        card details, card information, card on file, my card, new card, on the card, that card, the card, this
        card, valid through, valid thru, valid until, your card
        """
    )
)
MAIL_CONTEXTS: Final = frozenset(("email", "e-mail", "emails", "mail"))
NAME_QUESTIONS: Final = _phrases(
    """
    your name, your first name, your last name, your full name, first and last name, your surname, the last
    name, the first name, who am i speaking with, who i am speaking with, who i'm speaking with, name on the
    card, name on the account, name please, cardholder name, maiden name, spell your name, spell that for me,
    who is calling, who's calling
    """
)
