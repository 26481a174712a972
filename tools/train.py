"""Train a model from a config."""
import argparse

import densevit  # noqa: F401
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('--work-dir')
parser.add_argument('--resume', action='store_true')
parser.add_argument('--amp', action='store_true')
parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
args = parser.parse_args()
cfg = Config.fromfile(args.config)
cfg.merge_from_dict(args.cfg_options)
cfg.work_dir = args.work_dir or 'work_dirs/x'
cfg.resume = args.resume
if args.amp:
    cfg.optim_wrapper.type = 'densevit.AutocastOptimWrapper'
runner = Runner.from_cfg(cfg)
runner.train()
