"""Word lists of the training sentences (see `text`). Their order is part of the recipe: choices are drawn by index."""

NOUNS = (
    "dog cat house river mountain teacher doctor garden window table chair book letter train car bridge road city "
    "village farmer horse bird fish ocean island forest tree flower apple orange banana bread cheese butter coffee "
    "water milk sugar salt kitchen bedroom bottle glass cup plate knife fork spoon hammer nail machine computer "
    "engine wheel ship boat plane airport station ticket passport king queen soldier judge lawyer nurse student "
    "child boy girl man woman friend neighbor uncle cousin brother sister mother father song music piano guitar "
    "violin drum movie picture story poem question answer problem reason idea dream memory voice sound noise "
    "morning evening night winter summer spring autumn storm rain snow wind cloud sun moon star planet world "
    "country language word sentence number price market shop money coin bank office report meeting manager worker "
    "factory company project plan decision measure treasure pleasure vision television garage beige college village "
    "message package orange jacket watch church match kitchen thing path month tooth bath earth health truth youth "
    "weather leather feather brother other rhythm thumb thunder thief theater joy toy coin oil boy noise choice "
    "voice point oyster cow town crowd mouse mouth south tower flower shower owl hour power shoe shirt sheep sugar "
    "ocean nation station motion picture nature future creature adventure teacher chair chain cheese ring king song "
    "tongue finger singer hunger anger language yellow yard year youth union university music cube huge beauty"
).split()
TRANSITIVE = (
    "sees finds takes brings carries opens closes washes paints builds breaks fixes watches hears wants needs likes "
    "loves hates buys sells sends writes reads draws measures touches follows leaves remembers forgets describes "
    "changes moves pushes pulls catches throws drops holds keeps gives shows teaches helps chooses enjoys uses "
    "avoids changed judged pleased surprised frightened reached noticed answered visited crossed covered painted "
    "counted shouted needed started wanted decided walked jumped liked asked helped pushed"
).split()
INTRANSITIVE = (
    "sleeps runs walks sings laughs cries waits works plays shouts whispers jumps falls rises swims flies smiles "
    "travels arrives returns disappears grows shines burns freezes melts stops starts continues hesitates listened "
    "answered vanished trembled coughed yawned"
).split()
ADJECTIVES = (
    "old young big small long short hot cold warm cool bright dark heavy light quick slow quiet loud happy sad "
    "angry tired hungry clever foolish honest strange simple difficult easy cheap expensive clean dirty empty full "
    "open broken golden wooden silver yellow green blue red brown white black gray purple pink huge tiny narrow "
    "wide deep shallow smooth rough sharp soft sweet sour bitter fresh ancient modern foreign local public private "
    "usual unusual beautiful ugly gentle cruel brave shy famous unknown dangerous thirsty northern"
).split()
ADVERBS = (
    "quickly slowly quietly loudly carefully suddenly usually often never always sometimes rarely today yesterday "
    "tomorrow again together alone outside inside upstairs everywhere finally early late softly thoughtfully "
    "unfortunately probably certainly"
).split()
NAMES = (
    "John Mary George Alice Peter Susan Henry Laura Thomas Julia David Emma Charles Sarah Robert Nancy Joyce Roy "
    "Howard Judith Ethan Zoe Yvonne Hugh Margaret Vincent Philip Sheila Chad Jacques Kathy Matthew Theodore"
).split()
PLACES = (
    "London Paris Boston Chicago Canada Mexico China Japan Germany Italy Spain Texas Ohio Oregon Virginia Sweden "
    "Egypt Russia Australia Washington Florida Brazil Moscow Tokyo Dublin Geneva Asia Africa Europe"
).split()
PREPOSITIONS = (
    "in on under over near behind beside from with without about around through toward across against between "
    "beyond for to at by"
).split()
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million"
).split()
DAYS = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April June July August "
    "September October November December"
).split()
PRONOUNS = "I you he she we they it someone everybody nobody".split()
POSSESSIVES = "my your his her our their its".split()
WILL = "see find take bring open close wash paint build break fix watch hear want need like measure choose".split()
DID = "see find take bring open close wash paint build break fix watch hear change judge".split()
