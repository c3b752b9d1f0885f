"""English as data: number words, fillers, spelling, carrier phrases, given names.

Owns words, not rules. Written by hand for North American call-centre talk; an ASR's errors are its homophones
(for/four, to/two, ate/eight, won/one).
"""

from typing import Final

UNITS: Final = {
    **dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True)),
    "oh": "0",
    "o": "0",
    "nought": "0",
    "naught": "0",
    "niner": "9",
    "fife": "5",
    "fower": "4",
}
TEENS: Final = {
    word: str(value)
    for value, word in enumerate(
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), start=10
    )
}
TENS: Final = {
    word: str(value)
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
} | {"fourty": "4"}
PLURALS: Final = {
    "zeros": "0",
    "zeroes": "0",
    "ohs": "0",
    "ones": "1",
    "twos": "2",
    "threes": "3",
    "fours": "4",
    "fives": "5",
    "sixes": "6",
    "sevens": "7",
    "eights": "8",
    "nines": "9",
}
MULTIPLIERS: Final = {"double": "2", "triple": "3", "treble": "3", "quadruple": "4"}
SCALES: Final = {"thousand": "000", "grand": "000", "million": "000000", "billion": "000000000"}
# What an ASR writes for a digit; believed only inside a run of digits.
SUBSTITUTES: Final = {
    "for": "4",
    "fore": "4",
    "fo": "4",
    "to": "2",
    "too": "2",
    "tu": "2",
    "ate": "8",
    "won": "1",
    "wan": "1",
    "tree": "3",
    "free": "3",
    "sicks": "6",
    "sex": "6",
    "nein": "9",
    "owe": "0",
    "hate": "8",
    "aid": "8",
}

# Substitutes that are also everyday words between two numbers ("ten to twelve"); the others count beside any digit.
RANGE_WORDS: Final = frozenset(("to", "for", "free"))

# Words that a speaker or listener puts between digits without ending the number.
FILLERS: Final = frozenset(
    """uh um er erm ah hm hmm mm mhm mmhm mm-hm mm-hmm mhmm uh-huh uhhuh huh and dash hyphen space slash then
    okay ok kay right yeah yes yep yup ya go ahead got it sorry so next no wait is are that's thats
    comma again like please thanks alright sure continue hold on you said correct perfect great with the
    followed by i've gotcha""".split()
)
UNITS_OF_MEASURE: Final = frozenset(
    """dollar dollars buck bucks cent cents percent pound pounds euro euros quid second seconds minute minutes
    hour hours day days week weeks month months year years night nights moment moments minute's time
    times mile miles kilometers feet foot inch inches meters acres square degrees megabit megabits
    megabyte megabytes meg megs gig gigs gigabit gigabyte gigabytes mbps gb mb people person customers
    users employees agents members items pieces boxes units lines channels devices phones cars kids
    children adults guests seats tickets rooms bags calls emails texts messages pages points stars votes
    orders packages copies watts volts calories grams ounces gallons liters business working calendar
    weekly monthly yearly annually daily am pm a.m p.m o'clock oclock k plus thousand million billion
    old digit digits numbers letters character characters""".split()
)
AMOUNT_WORDS: Final = frozenset(
    """pay paid paying cost costs charge charged charges price priced total totals balance bill billed owe owed
    refund refunded fee fees worth save amount payment payments deposit credit discount""".split()
)
PER_WORDS: Final = frozenset("a an per each every plus".split())
TIME_WORDS: Final = frozenset("at around by before after until till between from about since past".split())
MONTHS: Final = frozenset(
    """january february march april may june july august september october november december jan feb mar apr
    jun jul aug sep sept oct nov dec""".split()
)
ORDINALS: Final = frozenset(
    """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth""".split()
)
# Digit strings that are sayings, not numbers: 24/7, 50-50, emergency and directory calls, 360 degrees.
IDIOMS: Final = frozenset("247 5050 911 411 611 811 988 360 365 401 711 2020 100 1000".split())
# A single "one" after these is a pronoun.
PRONOUN_BEFORE_ONE: Final = frozenset(
    """the this that which another other any new old wrong last every each first second third only my your good
    bad big small different some""".split()
)

NATO: Final = frozenset(
    """alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november
    oscar papa quebec romeo sierra tango uniform victor whiskey xray x-ray yankee zulu""".split()
)
MAIL_CONNECTORS: Final = frozenset(("dot", "period", "underscore", "dash", "hyphen", "plus", "point", "score", "under"))
TOP_DOMAINS: Final = frozenset(
    "com org net edu gov mil io co us uk ca au de fr info biz me app dev ai tv ie nz in eu".split()
)
MAIL_PROVIDERS: Final = frozenset(
    """gmail yahoo hotmail outlook icloud aol comcast verizon protonmail proton msn live mac att sbcglobal
    bellsouth cox charter earthlink googlemail ymail g-mail""".split()
)
# What may stand between the question for an e-mail or a name and the answer.
LEAD_INS: Final = frozenset(
    """sure yes yeah yep okay ok alright right so well um uh er oh it it's its is that that's thats my the
    email e-mail mail address name first last full you can use i i'm am me at to on file would be hi
    hello and please let see of course absolutely no problem full's here spelled spelt under for in be a
    this will surname hey good morning afternoon evening thanks thank send write reach contact""".split()
)
# Verbs and places before "at", where "at example dot com" is a web site.
WEB_BEFORE_AT: Final = frozenset(
    """look looking available online shop us me it them here visit go sign log store found find works work find
    order ordered bought buy chat page site website check live""".split()
)

STRONG_NAME_CARRIERS: Final = (
    "my name is",
    "my name's",
    "name is",
    "name's",
    "first name is",
    "last name is",
    "last name",
    "first name",
    "surname is",
    "surname",
    "maiden name is",
    "under the name",
    "under the name of",
    "in the name of",
    "call me",
    "name on the card is",
    "the name of",
)
WEAK_NAME_CARRIERS: Final = (
    "this is",
    "speaking with",
    "speaking to",
    "i'm",
    "i am",
    "talking to",
    "talking with",
    "mr",
    "mrs",
    "ms",
    "miss",
    "mister",
    "missus",
    "doctor",
    "dr",
    "thank you",
    "thanks",
    "hello",
    "hi",
    "it's",
)
TITLES: Final = frozenset("mr mrs ms miss mister missus doctor dr".split())
NAME_FOLLOWERS: Final = frozenset("speaking calling from here with".split())

GIVEN_NAMES: Final = frozenset(
    """james john robert michael david william richard joseph thomas charles christopher daniel matthew anthony
    mark donald steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey
    ryan jacob gary nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory
    alexander frank patrick raymond jack dennis jerry tyler aaron jose adam nathan henry douglas zachary
    peter kyle ethan walter noah jeremy christian keith roger terry austin sean gerald carl harold dylan
    arthur lawrence jordan jesse bryan billy bruce gabriel joe logan alan juan albert willie elijah
    wayne randy vincent mason roy ralph bobby russell bradley philip eugene mary patricia jennifer linda
    elizabeth barbara susan jessica sarah karen lisa nancy betty sandra margaret ashley kimberly emily
    donna michelle carol amanda melissa deborah stephanie dorothy rebecca sharon laura cynthia amy
    kathleen angela shirley brenda emma anna pamela nicole samantha katherine christine helen debra
    rachel carolyn janet maria catherine heather diane olivia julie joyce victoria ruth virginia lauren
    kelly christina joan evelyn judith andrea hannah megan cheryl jacqueline martha madison teresa
    gloria sara janice ann kathryn abigail sophia frances jean alice judy isabella julia grace amber
    denise danielle marilyn beverly charlotte natalie theresa diana brittany doris kayla alexis lori
    marie jane priya omar ahmed mohammed wei li chen sofia lucas liam mia ava ella chloe luis carlos
    miguel jorge pedro ana rosa elena ivan igor olga fatima aisha raj sanjay anita deepak kenji yuki
    hans greta pierre claire tom bob jim mike dave steve chris matt tony dan sam alex ben nick greg kate
    katie liz beth sue jen jenny meg maggie becky vicky tina gina nina tara dana erin""".split()
)
