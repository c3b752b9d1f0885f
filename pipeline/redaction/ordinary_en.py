"""Words too ordinary to be somebody's name or the local part of an e-mail address.

Owns the list alone; `names` and `emails` ask it. Written by hand from call-centre talk; it errs on the short side,
because a missing word costs one masked word and a wrong one costs a name.
"""

from typing import Final

from pipeline.redaction.tables_en import (
    FILLERS,
    MONTHS,
    ORDINALS,
    PLURALS,
    SUBSTITUTES,
    TEENS,
    TENS,
    UNITS,
    UNITS_OF_MEASURE,
)

_TALK: Final = frozenset(
    """a about above absolutely accept access accident account accounts across action activate actual actually
    add added additional address adjust advance afraid after afternoon again against agent ago agree
    ahead alert all allow almost alone along already also although always am amazing amount an and angry
    annoyed another answer any anybody anymore anyone anything anyway anywhere app apparently apply
    appointment appreciate approved are area around as ask asked asking assist assistance at authorized
    automatic available aware away awesome awful back bad balance bank based basic basically battery be
    because become been before began behind being believe below best better between big bill billing
    bills black blue board book booked booking both bottom bought box bring broken brought browser
    bundle business busy but button buy by cable call called caller calling came can can't cancel
    canceled cancelled cannot car card care case cash cause cell certain certainly change changed charge
    charged charges cheaper check checked checking choose claim clear clearly click close closed code
    cold come comes comfortable coming company complain complaint complete completely computer concern
    concerned confirm confirmed confused confusing connect connected connection consider contact
    continue contract convenient copy corner correct cost could couldn't couple course cover coverage
    credit current currently customer customers cut daily damaged data date day days deal dear decided
    delay delayed delivered delivery department details device did didn't different difficult digit
    digits directly disappointed disconnected discount discuss dispute do does doesn't doing dollars
    don't done door down download driver drop dropped due during each earlier early easy either electric
    else email empty end ended ends english enjoy enough enter entire error especially even evening ever
    every everybody everyone everything exactly example excellent except exchange excuse existing expect
    expected expensive expire explain extra extremely fact fair family far fast faster father feature
    fee feel fees few file fill final finally find fine finish finished first fix fixed flight follow
    following for forget forgot form forward found free frequently friday friend from front frustrated
    frustrating full fully further furthermore future gas gave general get gets getting give given gives
    giving glad go goes going gone good goodbye got great green group guarantee guess guy had half
    happen happened happening happens happy hard has hasn't hate have haven't having he he's hear heard
    hello help helped helpful helping her here hey hi high higher him his hold holding home honest
    honestly hope hoping hour house how however huge hundred hurry husband i i'd i'll i'm i've id idea
    if important in included including incorrect increase information inside install installed instead
    insurance interest interested internet into invoice is isn't issue issues it it'll it's item its
    itself job just keep keeps kept kid kind knew know known lady laptop large last late later leave
    leaving left less let let's letter level like line link list listen little live living loan local
    location lock locked log login long longer look looked looking looks lose lost lot lots loud love
    low lower loyal loyalty made mail main make makes making man manage manager many matter may maybe me
    mean means mention mentioned message met middle might mind mine minimum minute miss missed missing
    mistake mobile modem moment monday money month monthly months more morning most mother move moved
    moving much must my myself name near necessary need needed needs neighbor neither network never new
    next nice night no nobody none noon nope normal normally not note nothing notice noticed
    notification november now number numbers obviously of off offer offered offers office often oh ok
    okay old on once one online only open option options or order ordered orders original other others
    our ours out outage outside over overall own owner package page paid paper part particular party
    pass password past patience pay paying payment payments pending people per perfect perhaps period
    person phone pick picked place plan plans plane play please plus point policy poor possible possibly
    power prefer premium prepared press pretty previous price prices prior private probably problem
    problems process processed processing product program promised promotion proper provide provider
    pull purchase purchased purpose put question questions quick quickly quite rate rather reach read
    ready real really reason reasonable receipt receive received recently recommend record red reference
    refund regarding regular remember remove renew renewal repair repeat replace replaced replacement
    reply report representative request requested reset resolve resolved rest restart return returned
    review rid ridiculous right room router rude run running sad safe said sale same satisfied saturday
    save saw say saying says schedule scheduled screen search second section secure security see seem
    seems seen sell send sending sent separate september serious serve service services set setting
    settings setup several shall she she's ship shipped shipping shop short should shouldn't show
    showing shows shut sick side sign signal signed simple simply since sir sister site situation six
    slow small so social some somebody somehow someone something sometimes somewhere son soon sooner
    sorry sort sound sounds speak speaking special specific speed spell spend spent spoke spoken staff
    standard start started starting state statement status stay still stop stopped store stories story
    straight street strong stuck stuff stupid submit subscription such suggest sunday super supervisor
    support supposed sure switch system take taken takes taking talk talked talking tax team tech
    technical technician telephone tell telling terms terrible test text than thank thanks that that'll
    that's the their them then there there's these they they're thing things think third this those
    though thought three through throughout thursday ticket tickets till time times tired to today
    together told tomorrow tonight too took top total totally touch toward track transaction transfer
    transferred tried trouble troubleshoot true trust try trying tuesday turn turned tv two type
    typically unable under understand understood unfortunately unhappy unless unlimited until up update
    updated upgrade upset us use used user using usual usually valid value verification verified verify
    version very via video visit voice wait waited waiting walk want wanted wants warm warranty was
    wasn't watch water way we we'll we're we've website wednesday week weekend weekly weeks welcome well
    went were weren't what what's whatever when whenever where whether which while white who who's whole
    whose why wife will window wireless wish with within without woman won won't wonder wonderful
    wondering word words work worked working works world worried worry worse worst worth would wouldn't
    write wrong yeah year years yep yes yesterday yet you you'd you'll you're you've young your yours
    yourself ma'am madam folks guys everyone's cancelling calling supporter sorry great unacceptable
    outrageous nuts crazy bullshit awhile loan loans mortgage rent landlord apartment house lane avenue
    road drive boulevard court package parcel refundable reservation hotel airport bus train ticketing
    seat luggage bag bags kids child children wedding doctor nurse hospital medicine prescription
    pharmacy dentist school teacher college university student city town county country""".split()
)

ORDINARY: Final = frozenset().union(
    _TALK, FILLERS, MONTHS - {"may"}, ORDINALS, PLURALS, SUBSTITUTES, TEENS, TENS, UNITS, UNITS_OF_MEASURE
)
