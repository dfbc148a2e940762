"""LLaMA (arXiv 2302.13971) with Lynx's adapters, in Hugging Face's layout.

Lynx: bytedance/lynx-llm at 24680d1. Positions are rotated by halves (RoPE, arXiv 2104.09864). The
state is sequence-major: what is new is appended to it in one piece.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgespark.export.models.config import Llama


class RMSNorm(nn.Module):
    """Root-mean-square norm (arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        """Make the gain."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Scale each row of [..., width] to a mean square of one."""
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon))


def rotations(config: Llama) -> tuple[Tensor, Tensor]:
    """Tabulate cos and sin of RoPE: float32 [context, head_dim] each."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(
        torch.arange(config.context, dtype=torch.float32), config.theta**-exponents
    )
    return angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x [batch, sequence, heads, head_dim] by cos and sin [batch, sequence, 1, head_dim]."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


Turn: TypeAlias = tuple[Tensor, ...]


class Attention(nn.Module):
    """Causal self-attention over the past rows and the new ones."""

    def __init__(self, config: Llama) -> None:
        """Make the projections, all without bias."""
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self, x: Tensor, turn: Turn, mask: Tensor, past: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attend from x [batch, sequence, width] over `past` and x itself.

        turn: RoPE's cos and sin, [batch, sequence, 1, head_dim] each; mask: [sequence, past +
        sequence], added to the scores; past: keys and values [past, batch, heads, head_dim]. Gives
        x's shape, and the new keys and values [sequence, batch, heads, head_dim].
        """
        query, key, value = (
            part(x).unflatten(-1, (self.heads, -1))
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, *turn), rotate(key, *turn)
        new = (key.transpose(0, 1), value.transpose(0, 1))
        keys, values = (torch.cat(pair, 0) for pair in zip(past, new, strict=True))
        query = query.transpose(1, 2) * query.shape[-1] ** -0.5
        scores = query @ keys.permute(1, 2, 3, 0) + mask
        mixed = (scores.softmax(-1) @ values.permute(1, 2, 0, 3)).transpose(1, 2).flatten(2)
        return self.o_proj(mixed), new


class Mlp(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, config: Llama) -> None:
        """Make the three projections, all without bias."""
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each row of [batch, sequence, width]."""
        gated = nn.functional.silu(self.gate_proj(x)) * self.up_proj(x)
        return self.down_proj(gated)  # type: ignore[no-any-return] # nn.Module


class Adapter(nn.Module):
    """Lynx's bottleneck: x + scaling * up(SiLU(down(LN(x))))."""

    def __init__(self, config: Llama) -> None:
        """Make the norm and both projections."""
        super().__init__()
        self.adapter_norm_before = nn.LayerNorm(config.width)
        self.adapter_down = nn.Linear(config.width, config.bottleneck)
        self.adapter_up = nn.Linear(config.bottleneck, config.width)
        self.scaling = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Add the adapter's output to [batch, sequence, width]."""
        down = self.adapter_down(self.adapter_norm_before(x))
        up = self.adapter_up(nn.functional.silu(down))
        return x + self.scaling * up  # type: ignore[no-any-return] # nn.Module


class Layer(nn.Module):
    """One decoder layer, with an adapter after the MLP where the config says so."""

    def __init__(self, config: Llama, index: int) -> None:
        """Make attention, MLP, their norms, and perhaps the adapter."""
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.width, config.epsilon)
        self.mlp = Mlp(config)
        self.output_adapter = Adapter(config) if index in config.adapters else nn.Identity()

    def forward(
        self, x: Tensor, turn: Turn, mask: Tensor, past: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the layer on x [batch, sequence, width]; the rest is as in Attention.forward."""
        mixed, new = self.self_attn(self.input_layernorm(x), turn, mask, past)
        x = x + mixed
        x = x + self.mlp(self.post_attention_layernorm(x))
        return self.output_adapter(x), new


class Stack(nn.Module):
    """The embedding table, the layers and the final norm (Hugging Face's `model`)."""

    def __init__(self, config: Llama) -> None:
        """Make all layers."""
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.depth))
        self.norm = RMSNorm(config.width, config.epsilon)


class LlamaDecoder(nn.Module):
    """The LLM as the chain runs it: embeddings in, hidden states, logits and new state rows out."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Llama) -> None:
        """Make all weights and RoPE's tables."""
        super().__init__()
        self.config = config
        self.model = Stack(config)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        cos, sin = rotations(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(
        self, inputs_embeds: Tensor, position_ids: Tensor, select: Tensor, past: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Decode one stretch of the sequence.

        inputs_embeds: float32 [batch, sequence, width]; position_ids: int64 [batch, sequence];
        select: int64 [selected], the rows along `sequence` to give out; past: keys and values of
        each layer in turn, [past, batch, heads, head_dim]. Gives hidden [batch, selected, width]
        after the final norm, logits [batch, selected, vocabulary], and the new rows of the state.
        """
        tables = (self.cos, self.sin)
        turn = tuple(nn.functional.embedding(position_ids, each).unsqueeze(2) for each in tables)
        mask = causal_mask(inputs_embeds.shape[1], past[0].shape[0])
        x, states = inputs_embeds, []
        for index, layer in enumerate(self.model.layers):
            x, new = layer(x, turn, mask, (past[2 * index], past[2 * index + 1]))
            states += new
        hidden = self.model.norm(x.index_select(1, select))
        return hidden, self.lm_head(hidden), states

    def empty_past(self, batch: int) -> list[Tensor]:
        """Give the state before the first row: float32 [0, batch, heads, head_dim] each."""
        shape = (0, batch, self.config.heads, self.config.head_dim)
        return [torch.zeros(shape) for _ in range(2 * self.config.depth)]


def causal_mask(sequence: int, past: int) -> Tensor:
    """Make [sequence, past + sequence]: 0 where a new row may look, a large negative elsewhere."""
    rows = torch.arange(sequence).unsqueeze(1) + past
    ahead = torch.arange(past + sequence).unsqueeze(0) > rows
    return ahead.float() * -1e9
