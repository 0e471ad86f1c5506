"""Multi-head attention between the atoms and the tokens of a crystal; an atom may stand for several equal ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.batch import GraphBatch


@dataclass(frozen=True)
class Keys:
    """What is attended to: K states per crystal, padded."""

    states: Tensor  # (B, K, d)
    log_count: Tensor  # (B, K) log of how many equal ones each stands for; -inf: padding

    @classmethod
    def of_tokens(cls, tokens: Tensor, mask: Tensor) -> Keys:
        return cls(tokens, torch.zeros_like(tokens[..., 0]).masked_fill(~mask, -torch.inf))


@dataclass(frozen=True)
class PaddedAtoms(Keys):
    """The atoms of B crystals, as many rows per crystal as the largest has."""

    crystal: Tensor  # (N,)
    position: Tensor  # (N,) within the crystal

    @classmethod
    def of(cls, atoms: Tensor, graph: GraphBatch) -> PaddedAtoms:
        """atoms (N, d)."""
        largest = int(graph.crystal_offsets.diff().max())  # waits for a GPU, once per fusion
        position = torch.arange(graph.num_atoms, device=atoms.device) - graph.crystal_offsets[graph.crystal]
        states = atoms.new_zeros(graph.num_crystals, largest, atoms.shape[1])
        states = states.index_put((graph.crystal, position), atoms)
        log_count = atoms.new_full((graph.num_crystals, largest), -torch.inf)
        weight = torch.ones_like(atoms[:, 0]) if graph.atom_weight is None else graph.atom_weight.to(atoms.dtype)
        return cls(states, log_count.index_put((graph.crystal, position), weight.log()), graph.crystal, position)

    def pick(self, padded: Tensor) -> Tensor:
        """(B, K, …) → (N, …): the rows of real atoms."""
        return padded[self.crystal, self.position]


class CrossAttention(nn.Module):
    """Queries (B, Q, query) and keys (B, K, key) → contexts (B, Q, out).

    softmax(q·k/√d + log count)·v a head (Vaswani et al., arXiv:1706.03762). The log of the count makes an atom that
    stands for n equal ones weigh as much as the n.
    """

    def __init__(self, query: int, key: int, hidden: int, heads: int, out: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(query, hidden)
        self.key = nn.Linear(key, hidden, bias=False)  # a bias would add the same to every key of a query: no effect
        self.value = nn.Linear(key, hidden)
        self.out = nn.Linear(hidden, out)

    def forward(self, queries: Tensor, keys: Keys) -> Tensor:
        context = F.scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(self.key(keys.states)),
            self._split(self.value(keys.states)),
            attn_mask=keys.log_count[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(context.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    @torch.no_grad()
    def entropy(self, queries: Tensor, keys: Keys) -> Tensor:
        """(B, Q) entropy of the attention, mean over the heads, in nats; n equal atoms count as n keys."""
        query, key = self._split(self.query(queries)), self._split(self.key(keys.states))
        logits = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        log_each: Tensor = logits - (logits + keys.log_count[:, None, None, :]).logsumexp(3, keepdim=True)
        share = (log_each + keys.log_count[:, None, None, :]).exp()
        return -(share * log_each).sum(3).mean(1)

    def _split(self, states: Tensor) -> Tensor:
        """(B, S, hidden) → (B, heads, S, hidden / heads)."""
        crystals, length, _ = states.shape
        return states.view(crystals, length, self.heads, -1).transpose(1, 2)
