"""Sentences that tokenizers are trained on and compared on, by language."""

LANGUAGES = "ar da de el en es fi fr he hi it ja ko ms nl no pl pt ru sv sw tr zh".split()
# How the Chinese sentences, after punctuation, lower case and NFKD, fall into words.
CHINESE_WORDS = {
    parted.replace(" ", "").replace("_", " "): parted.replace("_", " ")
    for parted in ["你好 , 世界 。", "今天 天气 很 好 !", "人 入 八_日 曰_abc123 .", "我 不 明_中国 人 ?", "〇 々 ー ."]
}
CUES = [
    "[clear throat]", "[sigh]", "[shush]", "[cough]", "[groan]", "[sniff]", "[gasp]", "[chuckle]", "[laugh]",
]

SENTENCES = {
    "en": [
        "The quick brown fox jumps over the lazy dog.",
        "Hi.",
        "hello there, how are you today?",
        "It's the story of a woman's life, and they'll say we've seen what I'd seen.",
        "Wait... what? No; not now: later",
        "She said “stop” and then ‘go’ – twice — or so…",
        "One - two - three , four",
        "   leading   and trailing\tspaces\n and lines   ",
        "NASA sent 3 rockets in 1969!",
        "Is it 50% (fifty percent) or $20?",
        "élan vital, naïve café, Zürich, Łódź, ﬁnal ½ ² ™",
        "ends with a dash -",
        "ends with a comma,",
        "ends with a quote\"",
        "ends with an ellipsis…",
        "ends with dots...",
        "A:B;C…D...E",
        "Wow 😀 that's great 👍🏽!",
        "mixed 漢字 and かな and 한글 inside",
        "ßtart and ǆ and İstanbul",
        "x",
        "[laugh] That's funny [chuckle], isn't it? [clear throat] Well.",
        "I[sigh]don't [cough][sniff] know [unknown tag] or [Laugh].",
        "non\u00a0breaking\u2003and\u3000wide spaces",
        "tabs\x1cand\x1dseparators\x85here",
        "don't we'll they're I'm you've he'd 'tis",
        "new\n\nparagraph\r\nand line",
        "!!??",
        "a , b , c",
        "....",
        ". . . .",
        "a  -  b",
        "x -- y --- z",
        "accents: e\u0301 a\u0323\u0302 a\u0302\u0323",
    ],
    "fr": ["Où est la bibliothèque ? Là-bas, près de l'œuvre ! Ça va.", "ÉCOLE « fermée » : oui"],
    "de": ["Straße, Äpfel und Größe; GROẞ und ß.", "Zwölf Boxkämpfer jagen Viktor – quer über den Sylter Deich"],
    "es": ["¿Dónde está el niño? ¡Mañana! Pingüino…"],
    "el": ["Ο ΦΙΛΟΣΟΦΟΣ ΕΊΝΑΙ ΕΔΩ. ΣΟΦΟΣ; Σ ΑΣ", "Καλημέρα κόσμε, πώς είστε σήμερα;"],
    "tr": ["İstanbul'da IŞIK ve ılık su içtim.", "Çok güzel bir gün, değil mi?"],
    "ru": ["Съешь ещё этих мягких французских булок, да выпей чаю.", "Йод"],
    "ko": ["안녕하세요, 저는 한국어를 공부합니다.", "값 닭 꽃 ㄱㅏ ABC 123", "그래?"],
    "ja": ["こんにちは、世界。", "カタカナとガギグゲゴ、パピプペポ！", "漢字は難しい。", "ｶﾞ半角"],
    "zh": ["你好，世界。", "今天天气很好！", "人入八 日曰 ABC123", "我不明 中国人？", "〇々ー"],
    "ar": ["مرحبا بالعالم، كيف حالك؟", "السَّلامُ عليكم"],
    "he": ["שלום עולם, מה שלומך?"],
    "hi": ["नमस्ते दुनिया, आप कैसे हैं?", "क़ ख़ ज़"],
    "pl": ["Zażółć gęślą jaźń; Łódź."],
    "pt": ["Não é possível; amanhã, talvez..."],
    "it": ["Perché no? Città già più."],
    "nl": ["Het ﬂuisteren van 't kind: één."],
    "sv": ["Flygande bäckasiner söka hwila på mjuka tuvor."],
    "da": ["Rødgrød med fløde på æblet"],
    "no": ["Blåbærsyltetøy på brødskiven"],
    "fi": ["Hyvää yötä, äiti - nähdään."],
    "ms": ["Selamat pagi, apa khabar?"],
    "sw": ["Habari ya asubuhi, rafiki yangu."],
}
