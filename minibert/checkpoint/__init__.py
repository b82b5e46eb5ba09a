"""Checkpoints: finding them (a folder or the hub), reading them whatever their age, and writing them.

hub                where a checkpoint lies; repository fetches it, contents says what is there instead
config_file        its config.json
weights            its tensors: safetensors_file, or torch_bin
names              which tensor is which parameter
load, save         from_pretrained, save_pretrained; elsewhere has what other libraries' options mean for them
staging            files that appear whole or not at all, and together: hidden_folder, switch, disk
consistent         reading while another process saves
convert            any checkpoint -> safetensors
average            several trainings of one model -> their mean
"""

from __future__ import annotations

from minibert.checkpoint.average import average
from minibert.checkpoint.config_file import read_config
from minibert.checkpoint.convert import Conversion, convert, guess_architecture
from minibert.checkpoint.errors import CheckpointError, CheckpointWarning
from minibert.checkpoint.hub import CONFIG_FILES, TOKENIZER_FILES, WEIGHT_FILES, HubOptions, resolve
from minibert.checkpoint.load import LoadingInfo, load_config, load_model
from minibert.checkpoint.names import NameMap, match_names, modern_name
from minibert.checkpoint.save import save_model, write_config
from minibert.checkpoint.staging import Staging
from minibert.checkpoint.weights import Weights, read_weights

__all__ = [
    "CONFIG_FILES",
    "TOKENIZER_FILES",
    "WEIGHT_FILES",
    "CheckpointError",
    "CheckpointWarning",
    "Conversion",
    "HubOptions",
    "LoadingInfo",
    "NameMap",
    "Staging",
    "Weights",
    "average",
    "convert",
    "guess_architecture",
    "load_config",
    "load_model",
    "match_names",
    "modern_name",
    "read_config",
    "read_weights",
    "resolve",
    "save_model",
    "write_config",
]
