"""A transformer and its tokenizer as a model whose features can be taken."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .features import Model
from .samples import Texts

LONGEST = 512  # tokens of a text that are read, where the tokenizer names no smaller number


class TextModel(Model):
    """A transformer and its tokenizer; a text's feature is the mean of the last hidden states of its tokens."""

    def __init__(self, name: str, network: nn.Module, tokenizer: Any):
        super().__init__(name, network)
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
            yield tokens.to(place)

    def __call__(self, batch: dict) -> tuple[Tensor, None]:
        """Features (b, d); a text encoder has no source classes."""
        states = self.network(**batch).last_hidden_state  # (b, tokens, d)
        mask = batch["attention_mask"].unsqueeze(2)  # (b, tokens, 1)
        return (states * mask).sum(1) / mask.sum(1), None


def _positions(network: nn.Module) -> int:
    """Tokens that a network has positions for: what its config says, and its tables of positions hold.

    RoBERTa and its kin count positions from the one after that of padding: the first rows of their tables have no use.
    """
    said = getattr(network.config, "max_position_embeddings", None) or LONGEST
    tables = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in network.named_modules()
        if isinstance(table, nn.Embedding) and re.search(r"(^|\.)(wpe|position_embeddings?|embed_positions)$", name)
    ]
    return min([said if said > 0 else LONGEST, *tables])  # XLNet says -1: any
