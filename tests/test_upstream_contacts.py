"""What of other packages is used that they do not promise to keep: private names, and methods that ours follow.

An upgrade that changes one of them fails here, with its name and with what depends on it, and not somewhere in a run.
"""
from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torchvision  # noqa: F401  registers its operators

import densevit.registry  # noqa: F401  puts operators in the place of mmcv._ext

PACKAGE = Path(__file__).parents[1] / 'densevit'
MODULES = sorted(path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts)


class Contact(NamedTuple):
    """A name of another package.

    Attributes:
        name: Full, ``timm.models.eva.EvaAttention``.
        used_in: File of ours.
        why: What it is used for.
        takes: Names of its first parameters.
        has: Attributes that its methods read or set.
        reads: Everything that its code reads or sets of objects, where ours does in its place what that code did.
    """
    name: str
    used_in: str
    why: str
    takes: str = ''
    has: str = ''
    reads: str = ''

    @property
    def last(self) -> str:
        return self.name.rpartition('.')[2]


CONTACTS = [
    # PyTorch
    Contact('torch.nn.modules.batchnorm._BatchNorm', 'layers/norm.py', 'the base of all batch norms',
            takes='num_features eps momentum affine track_running_stats'),
    Contact('torch.nn.modules.batchnorm._BatchNorm', 'backbones/contract.py', 'frozen stages keep their statistics',
            takes='num_features eps momentum affine track_running_stats'),
    Contact('torch.nn.modules.batchnorm._BatchNorm', 'backbones/timm_pyramid.py', 'norms of a part that is frozen',
            takes='num_features eps momentum affine track_running_stats'),
    Contact('torch.nn.SyncBatchNorm._check_input_dim', 'layers/norm.py',
            "SyncBatchNorm runs PyTorch's forward on a GPU", takes='self input'),
    Contact('torch.nn.SyncBatchNorm._check_non_zero_input_channels', 'layers/norm.py', 'the same', takes='self input'),
    Contact('torch.nn.SyncBatchNorm.forward', 'layers/norm.py', 'the same: it runs on a class that is none of its own',
            takes='self input'),
    Contact('torch.nn.Module._load_from_state_dict', 'networks/segmentation/eomt.py', 'a buffer that Python reads',
            takes='self state_dict prefix local_metadata strict missing_keys unexpected_keys error_msgs'),
    Contact('torch.distributed.fsdp._common_utils._FSDPState', 'engine/sharding.py',
            'shapes before FSDP flattened them', has='_handle'),
    Contact('torch.distributed.fsdp._flat_param.FlatParamHandle', 'engine/sharding.py', 'the same', has='flat_param'),
    Contact('torch.distributed.fsdp._flat_param.FlatParameter', 'engine/sharding.py', 'the same', has='_fqns _shapes'),
    Contact('torch.ops.torchvision._deform_conv2d_backward', 'compat/mmcv_ops/deform_conv.py',
            'a backward without a second forward',
            takes=('grad input weight offset mask bias stride_h stride_w pad_h pad_w dilation_h dilation_w groups '
                   'offset_groups use_mask')),
    Contact('torch.ops.torchvision._roi_align_backward', 'compat/mmcv_ops/roi_align.py', 'the same',
            takes=('grad rois spatial_scale pooled_height pooled_width batch_size channels height width '
                   'sampling_ratio aligned')),
    Contact('torch.ops.aten._embedding_bag_per_sample_weights_backward', 'layers/deformable_bags.py',
            'gradients of sampling points', takes='grad weight indices offsets offset2bag mode padding_idx'),
    Contact('torch.serialization.MAGIC_NUMBER', 'pickles.py', 'files that torch.save wrote before it wrote archives'),
    Contact('torch._dynamo.reset', 'benchmarks/backbone_survey.py', 'forgets what was compiled'),
    # NumPy
    Contact('numpy._core.multiarray._reconstruct', 'pickles.py', 'arrays of a pickle name it'),
    Contact('numpy._core.multiarray.scalar', 'pickles.py', 'the same'),
    Contact('numpy._core.numeric._frombuffer', 'pickles.py', 'the same'),
    # timm
    Contact('timm.models._manipulate.group_with_matcher', 'backbones/timm_pyramid.py', 'layers for layer-wise decay',
            takes='named_objects group_matcher return_values reverse'),
    Contact('timm.layers.Attention', 'backbones/trunks/windowed_attention.py',
            'an attention becomes windowed by another class, and takes windows for attn_mask',
            has='qkv num_heads head_dim attn_drop proj proj_drop q_norm k_norm norm gate'),
    Contact('timm.layers.Attention.forward', 'backbones/trunks/windowed_attention.py',
            'pads of zero, as in ViT-Adapter', takes='self x attn_mask is_causal',
            reads=('attn_drop fused_attn num_heads p permute proj proj_drop qkv reshape scale '
                   'scaled_dot_product_attention shape softmax training transpose unbind attn_dim gate head_dim '
                   'k_norm norm q_norm sigmoid')),
    Contact('timm.layers.AttentionRope.forward', 'backbones/trunks/windowed_attention.py',
            'an attention becomes windowed by another class, and takes windows for attn_mask',
            takes='self x rope attn_mask'),
    Contact('timm.models.eva.EvaAttention.forward', 'backbones/trunks/windowed_attention.py',
            'an attention becomes windowed by another class, and takes windows for attn_mask',
            takes='self x rope attn_mask'),
    Contact('timm.models.beit.Attention.forward', 'backbones/trunks/beit.py', 'the bias is that of the grid at hand',
            takes='self x shared_rel_pos_bias',
            reads=('attn_drop fused_attn num_heads p permute proj proj_drop qkv reshape scale '
                   'scaled_dot_product_attention shape softmax training transpose unbind _get_rel_pos_bias cat '
                   'k_bias linear q_bias qkv_bias_separate relative_position_bias_table v_bias weight')),
    Contact('timm.models.beit.Beit.forward_features', 'backbones/trunks/sequence.py', 'positions at any grid',
            takes='self x',
            reads=('blocks cat cls_token expand grad_checkpointing is_scripting jit norm patch_embed pos_drop '
                   'pos_embed rel_pos_bias shape')),
    Contact('timm.models.vision_transformer_sam.Attention.forward', 'backbones/trunks/sam.py',
            'tokens in a row, and more of them', takes='self x',
            reads=('attn_drop fused_attn num_heads p permute proj proj_drop qkv reshape scale '
                   'scaled_dot_product_attention shape softmax training transpose unbind functional get_embed '
                   'k_norm q_norm rel_pos_h rel_pos_w rope type_as use_rel_pos view nn')),
    Contact('timm.models.vision_transformer_sam.Block.forward', 'backbones/trunks/sam.py',
            'windows are known to the attention alone', takes='self x',
            reads='attn drop_path1 drop_path2 ls1 ls2 mlp norm1 norm2 reshape shape window_size'),
    Contact('timm.models.vision_transformer_sam.VisionTransformerSAM.forward_features', 'backbones/trunks/sam.py',
            'positions at any grid', takes='self x',
            reads=('blocks grad_checkpointing is_scripting jit neck norm_pre patch_drop patch_embed permute '
                   'pos_drop pos_embed shape')),
    Contact('timm.models.vision_transformer.VisionTransformer._pos_embed', 'backbones/trunks/sequence.py',
            'positions at any grid', takes='self x',
            reads=('append cat cls_token dynamic_img_size expand grid_size no_embed_class num_prefix_tokens '
                   'patch_embed pos_drop pos_embed reg_token shape view')),
    Contact('timm.models.vision_transformer.VisionTransformer.forward_features', 'backbones/trunks/sequence.py',
            'the order embed, norm_pre, blocks, norm', takes='self x attn_mask',
            reads='_pos_embed blocks grad_checkpointing is_scripting jit norm norm_pre patch_drop patch_embed'),
    Contact('timm.models.eva.Eva._pos_embed', 'backbones/trunks/sequence.py', 'positions at any grid', takes='self x',
            reads=('append cat cls_token dynamic_img_size expand get_embed grid_size no_embed_class '
                   'num_prefix_tokens patch_drop patch_embed pos_drop pos_embed reg_token rope shape transpose '
                   'unsqueeze view')),
    Contact('timm.layers.PatchEmbed.forward', 'backbones/trunks/sequence.py',
            'without checks that fix a compiled size', takes='self x',
            reads=('NCHW dynamic_img_pad flatten img_size norm output_fmt pad patch_size proj shape strict_img_size '
                   'transpose')),
    Contact('timm.layers.HybridEmbed.forward', 'backbones/trunks/sequence.py', "the stem's maps are wanted",
            takes='self x',
            reads='NCHW backbone dynamic_img_pad flatten output_fmt pad patch_size proj shape transpose'),
    Contact('timm.models.swin_transformer.SwinTransformerBlock._attn', 'backbones/timm_sizes.py',
            'pads before it shifts', takes='self x'),
    Contact('timm.models.swin_transformer_v2.SwinTransformerV2Block._attn', 'backbones/timm_sizes.py', 'the same',
            takes='self x'),
    Contact('timm.models.swin_transformer_v2.SwinTransformerV2Block._attn', 'backbones/swin_global.py',
            'a map is its one window', takes='self x'),
    Contact('timm.models.swin_transformer_v2.WindowAttention', 'backbones/swin_global.py',
            'an attention sees a whole map by another class',
            has=('qkv q_bias k_bias v_bias num_heads logit_scale cpb_mlp pretrained_window_size attn_drop proj '
                 'proj_drop')),
    Contact('timm.models.swin_transformer_v2_cr.SwinTransformerV2CrBlock._shifted_window_attn',
            'backbones/timm_sizes.py', 'the same', takes='self x'),
    # mmengine
    Contact('mmengine.config.Config._get_cfg_path', 'registry.py', 'the file of package::config',
            takes='cfg_path filename'),
    Contact('mmengine.config.utils.MODULE2PACKAGE', 'registry.py', 'packages that package::config may name'),
    Contact('mmengine.runner.IterBasedTrainLoop', 'engine/loop.py', 'where a loop stands', has='_iter'),
    Contact('mmengine.runner.IterBasedTrainLoop.run_iter', 'engine/loop.py', 'is seeded', takes='self data_batch'),
    Contact('mmengine.optim.scheduler.param_scheduler._ParamScheduler', 'engine/schedule.py', 'the base of a schedule',
            takes='optimizer param_name begin end', has='base_values last_step optimizer'),
    Contact('mmengine.optim.scheduler.param_scheduler._ParamScheduler._get_value', 'engine/schedule.py',
            'the value at a step', takes='self'),
    Contact('mmengine.optim.scheduler.param_scheduler._ParamScheduler', 'engine/resuming.py',
            'progress that is no setting', has='base_values last_step _last_value _global_step'),
    Contact('mmengine.hooks.CheckpointHook._save_checkpoint_with_step', 'engine/checkpoints.py',
            'new is whole before old goes', takes='self runner step meta',
            reads=('append args backend_args by_epoch file_backend file_client_args filename_tmpl format isdir '
                   'isfile join join_path keep_ckpt_ids last_ckpt max_keep_ckpts message_hub out_dir popleft remove '
                   'rmtree save_checkpoint save_optimizer save_param_scheduler update_info work_dir write')),
    Contact('mmengine.hooks.CheckpointHook._save_best_checkpoint', 'engine/checkpoints.py', 'the same',
            takes='self runner metrics',
            reads=('_init_rule _save_checkpoint_with_step backend_args best_ckpt_path best_ckpt_path_dict by_epoch '
                   'epoch file_backend file_client_args filename_tmpl format get_info info init_value_map '
                   'is_better_than isdir isfile iter join_path key_indicators keys last_ckpt logger message_hub '
                   'out_dir remove replace rmtree rules runtime_info save_best save_checkpoint update_info')),
    Contact('mmengine.hooks.CheckpointHook._init_rule', 'engine/checkpoints.py',
            'which metrics are better when greater', takes='self rules key_indicators'),
    Contact('mmengine.dataset.BaseDataset', 'datasets/common/coco_json.py', 'classes follow from the file',
            has='_metainfo'),
    Contact('mmengine.logging.history_buffer.HistoryBuffer', 'pickles.py', 'its state in checkpoints',
            has='_log_history _count_history'),
    # mmcv
    Contact('mmcv._ext', 'compat/__init__.py', 'where mmcv.utils.ext_loader looks for operators'),
    Contact('mmcv.ops.multi_scale_deform_attn.multi_scale_deformable_attn_pytorch', 'compat/__init__.py',
            'is replaced', takes='value value_spatial_shapes sampling_locations attention_weights'),
    # mmsegmentation
    Contact('mmseg.datasets.BaseSegDataset._update_palette', 'datasets/segmentation/folder.py',
            'no colours of chance for classes without', takes='self'),
    Contact('mmseg.datasets.transforms.LoadAnnotations._load_seg_map', 'datasets/segmentation/checks.py',
            'whether a pipeline reads label maps as mmsegmentation does', takes='self results'),
]
# Documented in spite of their underscore, or what argparse calls that which add_subparsers returns.
PUBLIC = {'_replace', '_asdict', '_fields', '_exit', '_make', '_SubParsersAction'}


def resolve(name: str) -> Any:
    """The object of a full name: its module is the longest part that can be imported."""
    parts = name.split('.')
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def parameters(found: Any) -> list[str]:
    if hasattr(found, 'default'):  # an operator of PyTorch
        return [argument.name for argument in found.default._schema.arguments]
    return list(inspect.signature(found).parameters)


def attributes(code: Any) -> set[str]:
    """Names after a dot in the source of a function or class, and those that a class declares."""
    declared = {*getattr(code, '__annotations__', ())} if isinstance(code, type) else set()
    try:
        (defined, ) = ast.parse(textwrap.dedent(inspect.getsource(code))).body
    except (OSError, TypeError):  # of a class that is made when it is imported, or that is not written in Python
        return declared
    return declared | {node.attr for part in defined.body for node in ast.walk(part) if isinstance(node, ast.Attribute)}


def problems(contact: Contact) -> Iterator[str]:
    try:
        found = resolve(contact.name)
    except (AttributeError, ImportError):
        yield 'is gone'
        return
    takes, has, reads = (part.split() for part in (contact.takes, contact.has, contact.reads))
    if takes and parameters(found)[:len(takes)] != takes:
        yield f'takes {parameters(found)}, not {takes}'
    if has and (absent := set(has).difference(*map(attributes, found.__mro__))):
        yield f'has no {sorted(absent)}'
    if reads and (change := attributes(found) ^ set(reads)):
        yield f'does something else now ({sorted(change)}): compare it with ours'


def test_contacts_are_as_they_were():
    found = {f'{contact.name} ({contact.used_in}: {contact.why})': list(problems(contact)) for contact in CONTACTS}
    wrong = [f'{name} {problem}' for name, several in found.items() for problem in several]
    assert not wrong, '\n'.join(wrong)


def test_contacts_are_used():
    wrong = []
    for contact in CONTACTS:
        path = PACKAGE / contact.used_in
        text = path.read_text() if path.is_file() else ''
        if not any(name in text for name in (contact.last, *contact.has.split(), *contact.reads.split())):
            wrong.append(f'{contact.name} is not used in {contact.used_in} any more: take it from the list')
    assert not wrong, '\n'.join(wrong)


def test_no_contact_is_missing():
    """Private names that are imported, reached for or overridden are in the list."""
    listed = {part for contact in CONTACTS for part in (*contact.name.split('.'), *contact.has.split())}
    own = set().union(*map(_defined, MODULES))
    missing = [f'{path.relative_to(PACKAGE)}:{line} {name}' for path in MODULES
               for line, name in (*_reached(path, own), *_overridden(path)) if name not in listed | PUBLIC]
    assert not missing, '\n'.join(['add to CONTACTS, or do without:', *missing])


def _is_private(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__') and name != '_'


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _defined(path: Path) -> set[str]:
    """Private names that a module of ours defines, as a function, class, variable or attribute of its own objects."""
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
              and ast.unparse(node.value) in ('self', 'cls')):
            names.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == 'self.register_buffer':
            names.add(ast.literal_eval(node.args[0]))
    return set(filter(_is_private, names))


def _reached(path: Path, own: set[str]) -> Iterator[tuple[int, str]]:
    """Private names that are imported from other packages, or that no module of ours defines."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.split('.')[0] != 'densevit':
            names = [*node.module.split('.'), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split('.')]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            names = [node.attr]
        elif (isinstance(node, ast.Call) and ast.unparse(node.func) in ('getattr', 'setattr', 'hasattr')
              and isinstance(node.args[1], ast.Constant) and node.args[1].value not in own):
            names = [node.args[1].value]
        else:
            continue
        yield from ((node.lineno, name) for name in names if _is_private(name))


def _overridden(path: Path) -> Iterator[tuple[int, str]]:
    """Private methods and attributes of other packages' classes that a class of ours has under the same name."""
    name = '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
    module = importlib.import_module(name.removesuffix('.__init__'))
    for node in ast.walk(_tree(path)):
        found = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
        if not isinstance(found, type):
            continue
        bases = [base for base in found.__mro__ if not base.__module__.startswith('densevit')]
        names = {part.name for part in node.body if isinstance(part, ast.FunctionDef)} | {
            target.id for part in node.body if isinstance(part, ast.Assign) for target in part.targets
            if isinstance(target, ast.Name)}
        yield from ((node.lineno, name) for name in names if _is_private(name)
                    and any(name in vars(base) for base in bases))
