"""Names of a Swin inside transformers' segmentation models, brought to those of Swin's authors."""
from __future__ import annotations

from ..reading import State
from ..renaming import Rule, fuse, rename

_BLOCK = r'encoder\.layers\.(\d+)\.blocks\.(\d+)\.'
_OURS = r'layers.\1.blocks.\2.'
# Transformers 5 writes the names without "self", "output" and "dense" below.
_RULES: tuple[Rule, ...] = (
    (r'layernorm\..+', None),
    (_BLOCK + r'attention\.self\.relative_position_index', None),
    (r'embeddings\.patch_embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'embeddings\.norm\.(.+)', r'patch_embed.norm.\1'),
    (_BLOCK + r'attention\.(?:self\.|relative_position_bias\.)relative_position_bias_table',
     _OURS + 'attn.relative_position_bias_table'),
    (_BLOCK + r'attention\.(?:self\.)?(?:q_proj|query)\.(.+)', _OURS + r'attn.q.\3'),
    (_BLOCK + r'attention\.(?:self\.)?(?:k_proj|key)\.(.+)', _OURS + r'attn.k.\3'),
    (_BLOCK + r'attention\.(?:self\.)?(?:v_proj|value)\.(.+)', _OURS + r'attn.v.\3'),
    (_BLOCK + r'attention\.(?:o_proj|output\.dense)\.(.+)', _OURS + r'attn.proj.\3'),
    (_BLOCK + r'layernorm_before\.(.+)', _OURS + r'norm1.\3'),
    (_BLOCK + r'layernorm_after\.(.+)', _OURS + r'norm2.\3'),
    (_BLOCK + r'(?:mlp\.fc1|intermediate\.dense)\.(.+)', _OURS + r'mlp.fc1.\3'),
    (_BLOCK + r'(?:mlp\.fc2|output\.dense)\.(.+)', _OURS + r'mlp.fc2.\3'),
    (r'encoder\.(layers\.\d+\.downsample\..+)', r'\1'),
)
_NORMS: tuple[Rule, ...] = tuple(
    (rf'hidden_states_norms\.(?:stage{level + 1}|{level})\.(.+)', rf'norm{level}.\1') for level in range(4))
_TRUNK_PREFIXES: tuple[Rule, ...] = ((r'(?:swin|model)\.(.+)', r'\1'), )


def from_hf_swin(state: State) -> tuple[State, list[str]]:
    """The authors' names for a Swin of transformers; another backbone's tensors as they are.

    Args:
        state: Tensors of the backbone by the names behind the model's prefix.

    Returns:
        Tensors by the authors' names, as released for detection, and the names that are not needed.
    """
    bare, _ = rename(state, _TRUNK_PREFIXES)
    if not any(name.startswith('encoder.layers.0.blocks.0.layernorm_before') for name in bare):
        return state, []
    renamed, left = rename(bare, (*_NORMS, *_RULES))
    return fuse(renamed, ('q', 'k', 'v'), 'qkv'), left
