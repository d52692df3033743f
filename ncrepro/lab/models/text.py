"""Six text classifiers: FaCe's variants of NEZHA and RoBERTa, small with random weights, or from Chinese checkpoints.

============= ==================================================================================================
nezha         functional relative positions in every attention (Wei et al., 2019, arXiv:1909.00204)
roberta       learned absolute positions (Liu et al., 2019, arXiv:1907.11692)
…_highway     a highway layer before the classifier (Srivastava et al., 2015, arXiv:1505.00387)
…_multidrop   the loss is the mean over several dropouts (Inoue, 2019, arXiv:1905.09788)
…_rdrop       two dropouts have to agree (Liang et al., 2021, arXiv:2106.14448)
…_poly        the first polynomial term of the cross-entropy weighs more (Leng et al., 2022, arXiv:2204.12511)
============= ==================================================================================================

The feature of a text is the mean of its last hidden states, after the highway layer where there is one: the input of
the last linear layer. The last three differ from ``roberta`` in their loss alone, see `ncrepro.lab.tasks.text`.
"""

import math
import os
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer, RobertaConfig, RobertaModel
from transformers.utils import cached_file

from ...extraction import last_layer
from ...store.schema import refuse_unknown
from ..datasets import docstrings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread per worker process

VOCABULARY = 2000  # tokens of the demo's tokenizer
PADDING, UNKNOWN, START = range(3)  # its first tokens; padding is 0 in the checkpoints too
DROPOUT = 0.1  # before the classifier


class Variant(NamedTuple):
    """What sets one of the six apart."""

    is_relative: bool = False
    has_highway: bool = False
    objective: str = "cross_entropy"  # a name in `ncrepro.lab.tasks.text.OBJECTIVES`
    checkpoint: str | None = None  # a Hugging Face name or a folder; None is a small encoder with random weights
    length: int = 40  # tokens of a text that are read


_SIX = {
    "nezha": Variant(is_relative=True),
    "roberta": Variant(),
    "roberta_highway": Variant(has_highway=True),
    "roberta_multidrop": Variant(objective="multi_sample_dropout"),
    "roberta_rdrop": Variant(objective="r_drop"),
    "roberta_poly": Variant(objective="poly"),
}
_CHECKPOINTS = {True: "sijunhe/nezha-cn-base", False: "hfl/chinese-roberta-wwm-ext"}  # is_relative -> name
_CHINESE = {
    f"chinese_{name}": variant._replace(checkpoint=_CHECKPOINTS[variant.is_relative], length=128)
    for name, variant in _SIX.items()
}
ARCHITECTURES: dict[str, Variant] = _SIX | _CHINESE


class TextClassifier(nn.Module):
    """An encoder, the mean of its last hidden states, perhaps a highway layer, and a linear classifier."""

    def __init__(self, encoder: nn.Module, has_highway: bool, n_classes: int) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.highway = Highway(width) if has_highway else nn.Identity()
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(width, n_classes)

    def features(self, tokens: Tensor) -> Tensor:
        """Tokens (n, length), int64, filled up with ``PADDING`` -> features (n, d)."""
        read = (tokens != PADDING).long()
        hidden = self.encoder(input_ids=tokens, attention_mask=read).last_hidden_state  # (n, length, d)
        mean = (hidden * read[..., None]).sum(1) / read.sum(1, keepdim=True)  # (n, d)
        return self.highway(mean)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, K) of texts."""
        return self.classifier(self.dropout(self.features(tokens)))  # (n, K)


class Highway(nn.Module):
    r"""A layer that learns how much of its input to let through: :math:`y = t \odot h(x) + (1 - t) \odot x`.

    :math:`h(x) = \tanh(W_h x + b_h)`, :math:`t = \sigma(W_t x + b_t)`; :math:`b_t` starts at -1, as the authors advise,
    so that at first most of the input passes unchanged. Source: Srivastava et al., 2015, Eq. 3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor) -> Tensor:
        """The highway: a gate between the changed features and their own."""
        t = self.gate(x).sigmoid()
        return t * self.change(x).tanh() + (1 - t) * x


class RelativeSelfAttention(nn.Module):
    r"""NEZHA's attention: keys and values get a fixed sinusoidal code of how far they are from the query.

    With :math:`a_{ij}` from `relative_positions`,

    .. math::
        e_{ij} = \frac{q_i \cdot (k_j + a_{ij})}{\sqrt{d}}, \qquad
        z_i = \sum_j \operatorname{softmax}_j(e_{ij})\, (v_j + a_{ij})

    Takes the weights of the attention that it replaces. Source: Wei et al., 2019, Eq. 3-5.
    """

    def __init__(self, replaced: nn.Module, longest: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.dropout = replaced.query, replaced.key, replaced.value, replaced.dropout
        self.n_heads = replaced.num_attention_heads
        codes = relative_positions(longest, self.query.out_features // self.n_heads)
        self.register_buffer("codes", codes, persistent=False)  # (longest, longest, d)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None, **_) -> tuple[Tensor, Tensor]:
        """Attention with relative positions, and its weights."""
        q, k, v = (part(hidden).unflatten(-1, (self.n_heads, -1)) for part in (self.query, self.key, self.value))
        a = self.codes[: hidden.shape[1], : hidden.shape[1]]  # (length, length, d)
        scores = torch.einsum("nihd,njhd->nhij", q, k) + torch.einsum("nihd,ijd->nhij", q, a)
        scores = scores / math.sqrt(q.shape[-1])  # (n, heads, length, length)
        if attention_mask is not None:
            scores = scores + attention_mask  # 0, or very negative where there is no token
        weights = self.dropout(scores.softmax(-1))
        mixed = torch.einsum("nhij,njhd->nihd", weights, v) + torch.einsum("nhij,ijd->nihd", weights, a)
        return mixed.flatten(-2), weights  # (n, length, heads x d)


def relative_positions(length: int, width: int, furthest: int = 64) -> Tensor:
    r"""NEZHA's codes of the distance from position i to position j, (length, length, width).

    :math:`a_{ij}[2k] = \sin(\delta / 10000^{2k/d})` and :math:`a_{ij}[2k + 1] = \cos(\delta / 10000^{2k/d})` with
    :math:`\delta = j - i`, at most ``furthest`` to either side.
    """
    at = torch.arange(length)
    distance = (at - at[:, None]).clamp(-furthest, furthest)  # (length, length)
    angle = distance[..., None] / 10000 ** (torch.arange(0, width, 2) / width)  # (length, length, width / 2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


def build(name: str, n_classes: int, seed: int) -> TextClassifier:
    """One of the six, with seeded random weights where it does not start from a checkpoint.

    Parameters
    ----------
    name : str
        One of ``ARCHITECTURES``.
    n_classes : int
        Outputs of the last linear layer.
    seed : int
        Draws the weights. The global random state is left as it was.

    Raises
    ------
    ValueError
        If there is no such architecture, or ``n_classes`` is under 2.
    OSError
        If a checkpoint can be neither found nor downloaded.
    """
    refuse_unknown("model", name, ARCHITECTURES)
    variant = ARCHITECTURES[name]
    with last_layer.seeded_weights(n_classes, seed):
        encoder = from_checkpoint(variant.checkpoint) if variant.checkpoint else _small_encoder()
        if variant.is_relative:
            _make_relative(encoder)
        network = TextClassifier(encoder, variant.has_highway, n_classes)
    network.name = name
    return network


def _small_encoder() -> RobertaModel:
    """Two layers of width 64: seconds of training on one CPU core."""
    config = RobertaConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64, type_vocab_size=1, pad_token_id=PADDING, bos_token_id=START, eos_token_id=START,
        attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    return RobertaModel(config, add_pooling_layer=False)


def from_checkpoint(name: str) -> BertModel:
    """A BERT-like encoder with the weights of a folder or of a model at Hugging Face.

    Takes ``model.safetensors`` where there is one, else ``pytorch_model.bin``, of which nothing but tensors is read.
    The layers have to be named as BERT's are, whatever stands before those names: RoBERTa-wwm's and NEZHA's are. NEZHA
    has no absolute positions: `build` takes them away.

    Raises
    ------
    OSError
        If there is no such checkpoint, or it cannot be downloaded.
    ValueError
        If it lacks weights of the encoder.
    """
    config = BertConfig.from_pretrained(name, attn_implementation="eager")
    encoder = BertModel(config, add_pooling_layer=False)
    given = {}
    for key, value in _weights(name).items():
        key = key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        given[key[max(key.find("embeddings."), key.find("encoder.")) :]] = value
    lacking = [key for key in encoder.state_dict() if key not in given and "position_embeddings" not in key]
    if lacking:
        raise ValueError(f"checkpoint {name}: {len(lacking)} weights are missing, {lacking[0]} the first; name another")
    encoder.load_state_dict({key: given[key] for key in encoder.state_dict() if key in given}, strict=False)
    return encoder


def _weights(name: str) -> dict[str, Tensor]:
    try:
        return load_file(cached_file(name, "model.safetensors"))
    except OSError:  # published before safetensors
        return torch.load(cached_file(name, "pytorch_model.bin"), map_location="cpu", weights_only=True)


def _make_relative(encoder: nn.Module) -> None:
    """Give every attention of ``encoder`` relative positions, and take the absolute ones away."""
    for layer in encoder.encoder.layer:
        layer.attention.self = RelativeSelfAttention(layer.attention.self, encoder.config.max_position_embeddings)
    nn.init.zeros_(encoder.embeddings.position_embeddings.weight).requires_grad_(False)


# Tokens ---------------------------------------------------------------------------------------------------------------


def tokenize(name: str, texts: Sequence[str]) -> Tensor:
    """Texts as the tokens that architecture ``name`` reads: (n, length), int64, filled up with ``PADDING``."""
    variant = ARCHITECTURES[name]
    if variant.checkpoint:
        given = _chinese_tokenizer(variant.checkpoint)(
            list(texts), padding="max_length", truncation=True, max_length=variant.length, return_tensors="pt"
        )
        return given["input_ids"]
    tokens = torch.full((len(texts), variant.length), PADDING)
    for row, encoding in zip(tokens, tokenizer().encode_batch(list(texts)), strict=True):
        kept = [START, *encoding.ids][: variant.length]
        row[: len(kept)] = torch.tensor(kept)
    return tokens


@cache
def _chinese_tokenizer(checkpoint: str) -> BertTokenizer:
    return BertTokenizer.from_pretrained(checkpoint)


@cache
def tokenizer() -> Tokenizer:
    """The demo's, trained on `corpus`."""
    return train_tokenizer(corpus())


def corpus() -> list[str]:
    """The training texts of the three sources."""
    return [text for name in docstrings.SOURCES for text in docstrings.load(name, "train").texts]


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Byte-pair encoding of lower-case words with ``VOCABULARY`` tokens, the same for the same texts."""
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]"]  # PADDING, UNKNOWN, START
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    )
    return made
