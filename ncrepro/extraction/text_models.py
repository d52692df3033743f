"""A transformer and its tokenizer as a model whose features can be taken."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from . import devices
from .features import Model
from .samples import Texts

LONGEST = 512  # tokens of a text that are read, where the tokenizer names no smaller number
SHORT = 8  # tokens of a text in which padding that reaches only its neighbours can be seen
ROUNDING = 1e-2  # share of a feature that it may change by, in whatever precision, when its text is padded


class TextModel(Model):
    """A transformer and its tokenizer; a text's feature is the mean of the last hidden states of its tokens."""

    def __init__(self, name: str, network: nn.Module, tokenizer: Any):
        super().__init__(name, network)
        self.words = _words(network, name)
        self.sees_padding = False  # whether padding changes features, as in FNet, which takes no mask, and Funnel
        self.tokenizer = tokenizer
        tokenizer.padding_side = "right"  # so that a token's position does not depend on the texts beside it
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise ValueError(
                f"{name}: its tokenizer has no token to pad with; set tokenizer.pad_token and save it again"
            )
        self.length = min(tokenizer.model_max_length, LONGEST, _positions(network))
        self.cut = 0  # texts that were longer

    def batches(self, texts: Texts, size: int, place: torch.device) -> Iterator[dict]:
        """Batches of tokens, and a count of the texts that were cut."""
        self.cut = 0
        for start in range(0, len(texts), size):
            part = list(texts.texts[start : start + size])
            whole = self.tokenizer(part, padding=False, truncation=False, verbose=False)["input_ids"]
            self.cut += sum(len(ids) > self.length for ids in whole)
            tokens = self.tokenizer(
                part,
                padding=True,
                truncation=True,
                max_length=self.length,
                return_tensors="pt",
                return_attention_mask=True,
            )
            empty = (tokens["attention_mask"].sum(1) == 0).nonzero()
            if len(empty):
                raise ValueError(
                    f"{self.name}: text {start + int(empty[0, 0])} holds no token of its vocabulary; leave it out"
                )
            self._check_words(tokens, start)
            tokens = tokens.to(place)
            if start == 0:
                self.sees_padding = self._sees_padding(tokens)
            yield tokens

    def _check_words(self, tokens: dict, start: int) -> None:
        """Tokens that the network has no embedding for: one that pads may be any other, since it is masked."""
        ids = tokens["input_ids"]
        ids[(ids >= self.words) & (tokens["attention_mask"] == 0)] = 0
        beyond = (ids >= self.words).nonzero()
        if len(beyond):
            row, column = beyond[0].tolist()
            raise ValueError(
                f"{self.name}: its tokenizer gives text {start + row} token {int(ids[row, column])}, but the network "
                f"has embeddings of {self.words} tokens only; save the tokenizer that it was trained with beside it"
            )

    def _sees_padding(self, tokens: dict) -> bool:
        """Whether the feature of the first text, or of its first few tokens, changes when the text is padded as far as
        possible. A convolution lets padding change only the last tokens, which matter little in a long text.
        """
        n = min(int(tokens["attention_mask"][0].sum()), max(1, self.length // 2))
        return self._differs(tokens, n) or self._differs(tokens, min(n, SHORT))

    def _differs(self, tokens: dict, n: int) -> bool:
        """Whether padding changes the feature of the first ``n`` tokens of the first text."""
        alone = {key: values[:1, :n] for key, values in tokens.items()}
        padded = {key: nn.functional.pad(values, (0, self.length - n)) for key, values in alone.items()}
        pad = self.tokenizer.pad_token_id
        padded["input_ids"][:, n:] = pad if pad < self.words else 0
        feature, other = self._mean_state(alone), self._mean_state(padded)
        return bool((other - feature).norm() > ROUNDING * feature.norm())

    def __call__(self, batch: dict) -> tuple[Tensor, None]:
        """Features (b, d); a text encoder has no source classes."""
        if not self.sees_padding:
            return self._mean_state(batch), None
        lengths, parts, order = batch["attention_mask"].sum(1), [], []
        for n in lengths.unique().tolist():  # texts of one length need no padding
            order.append((lengths == n).nonzero()[:, 0])
            parts.append(self._mean_state({key: values[order[-1], :n] for key, values in batch.items()}))
        return torch.cat(parts)[torch.cat(order).argsort()], None

    def _mean_state(self, batch: dict) -> Tensor:
        try:
            states = self.network(**batch).last_hidden_state  # (b, tokens, d)
        except Exception as error:
            reason = devices.error_line(error, self.name)
            n, longest = batch["input_ids"].shape
            raise ValueError(
                f"{self.name} cannot take a batch of {n} texts of {longest} tokens ({type(error).__name__}: {reason}): "
                "leave texts of such a length out, or take another model"
            ) from error
        mask = batch["attention_mask"].unsqueeze(2)  # (b, tokens, 1)
        return (states * mask).sum(1) / mask.sum(1)


def _words(network: nn.Module, name: str) -> float:
    """Tokens that a network has embeddings of; infinite where it does not look them up in one table."""
    try:
        if "input_ids" not in inspect.signature(network.forward).parameters:
            raise NotImplementedError
        table = network.get_input_embeddings()
    except NotImplementedError:  # of networks that read texts and images, too
        raise ValueError(
            f"{name} is a {type(network).__name__}, which does not read texts alone; give a model of texts"
        ) from None
    return _rows(table) or float("inf")


def _rows(table: nn.Module) -> int:
    """Rows of a table of embeddings, of I-BERT's own kind, too; 0 of another layer."""
    weight = getattr(table, "weight", None)
    return len(weight) if hasattr(table, "padding_idx") and isinstance(weight, Tensor) else 0


def _positions(network: nn.Module) -> int:
    """Tokens that a network has positions for: what its config says, and its tables of positions hold.

    RoBERTa and similar models count positions from the one after that of padding: the first rows of their tables are
    not used.
    """
    names = "max_position_embeddings", "max_seq_len"  # the second is MPT's
    limit = next((n for n in (getattr(network.config, name, None) for name in names) if n), LONGEST)
    tables = [
        _rows(table) - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in network.named_modules()
        if _rows(table) and re.search(r"(^|\.)(wpe|position_embeddings?|embed_positions)$", name)
    ]
    return min([limit if limit > 0 else LONGEST, *tables])  # XLNet says -1: any
