"""The modules whose state dicts are compared. Each takes (x, y) and gives the result alone."""
import math

import torch
from torch import nn
from torch.nn import functional


class ArticleSame(nn.Module):
    """The article's first class: both streams of one width."""

    def __init__(self, in_dim, out_dim):
        super().__init__()
        self.out_dim = out_dim
        self.query = nn.Linear(in_dim, out_dim, bias=False)
        self.key = nn.Linear(in_dim, out_dim, bias=False)
        self.value = nn.Linear(in_dim, out_dim, bias=False)

    def forward(self, x, y):
        scores = self.query(x) @ self.key(y).transpose(1, 2) / math.sqrt(self.out_dim)
        return torch.softmax(scores, dim=-1) @ self.value(y)


class ArticleDifferent(ArticleSame):
    """The article's second class: the query stream has a width of its own."""

    def __init__(self, in_dim, out_dim, in_q_dim, hid_q_dim):
        super().__init__(in_dim, out_dim)
        self.query = nn.Linear(in_q_dim, hid_q_dim, bias=False)


class Multihead(nn.Module):
    """nn.MultiheadAttention under the name `attn`. Without context_dim its weights are packed."""

    def __init__(self, width, heads, context_dim=None, bias=True):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, bias=bias, batch_first=True,
                                          kdim=context_dim, vdim=context_dim)
        for name, parameter in self.attn.named_parameters():
            if name.endswith("bias"):  # it starts them at zero, where a lost bias does not show
                nn.init.normal_(parameter)

    def forward(self, x, y, key_padding_mask=None):
        return self.attn(x, y, y, key_padding_mask=key_padding_mask, need_weights=False)[0]


class Diffusers(nn.Module):
    """The names and the layout of the attention layers in diffusers' UNets."""

    def __init__(self, width, context_dim, heads, head_dim, bias=False):
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.to_q = nn.Linear(width, inner, bias=bias)
        self.to_k = nn.Linear(context_dim, inner, bias=bias)
        self.to_v = nn.Linear(context_dim, inner, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(inner, width), nn.Dropout(0.0)])

    def forward(self, x, y):
        q, k, v = (rows.unflatten(2, (self.heads, -1)).transpose(1, 2)
                   for rows in (self.to_q(x), self.to_k(y), self.to_v(y)))
        joined = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.to_out[1](self.to_out[0](joined))
