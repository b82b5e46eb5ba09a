"""Scripts that complete `minibert` at the TAB key, made from the parser, so that they know what it knows.

Each is plain text for its shell; nothing of minibert runs while completing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minibert.cli.arguments import make_parser
from minibert.cli.parser import Parser, folder, model, path
from minibert.cli.printing import print_text
from minibert.models import MODELS

__all__ = ["completion"]

_FOLDERS = ("FOLDER", "DIR", "RUN", "TARGET")  # metavars of arguments that are folders
_MODELS = ("MODEL", "SOURCE", "V")
_RECIPES = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class _Value:
    """What an option or an argument takes: one of `words`, or a file, or a folder; none of them is free text."""

    words: tuple[str, ...] = ()
    files: bool = False
    folders: bool = False


@dataclass(frozen=True)
class _Option:
    names: tuple[str, ...]
    about: str
    value: _Value | None  # None for a flag


@dataclass(frozen=True)
class _Command:
    name: str
    about: str
    options: tuple[_Option, ...]
    argument: _Value


def completion(args: argparse.Namespace) -> None:
    """`minibert completion`."""
    _, commands = make_parser()
    known = [_command(name, parser) for name, parser in commands.items()]
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell]
    print_text("\n".join(script(known)) + "\n")


def _command(name: str, parser: Parser) -> _Command:
    options, argument = [], _Value()
    for action in parser._actions:
        if action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            options.append(_Option(tuple(action.option_strings), _short(action.help or ""), value))
        else:
            argument = _value(action)
    return _Command(name, _short(parser.description or ""), tuple(options), argument)


def _value(action: argparse.Action) -> _Value:
    name = (action.metavar or action.dest.upper()) if not isinstance(action.metavar, tuple) else action.metavar[0]
    if action.choices is not None:
        return _Value(tuple(map(str, action.choices)))
    if name in _MODELS:
        return _Value(MODELS, folders=True, files=name == "V")
    if name == "RECIPE":
        return _Value(tuple(sorted(file.stem for file in _RECIPES.glob("*.toml"))), files=True)
    return _Value(folders=name in _FOLDERS, files=action.type in (path, model, folder) and name not in _FOLDERS)


def _short(text: str) -> str:
    """The beginning of a help text, without characters that a shell or zsh's `_arguments` reads as its own."""
    plain = text.split(";")[0].split(":")[0].replace("%%", "%").rstrip(".")
    return "".join(c for c in plain if c not in "'\"[]\\`$")


# ---- bash


def _bash(commands: list[_Command]) -> Iterator[str]:
    yield "# bash completion of minibert; put into ~/.bashrc: source <(minibert completion bash)"
    yield "_minibert() {"
    yield "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= word k"
    yield "    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi"
    yield "    for ((k = 1; k < COMP_CWORD; k++)); do"
    yield "        word=${COMP_WORDS[k]}"
    yield "        if [[ $word != -* ]]; then command=$word; break; fi"
    yield "    done"
    yield "    COMPREPLY=()"
    yield '    case "$command" in'
    names = " ".join(command.name for command in commands)
    yield f"""    '') COMPREPLY=($(compgen -W '{names} --help --version' -- "$cur")); return ;;"""
    for command in commands:
        yield f"    {command.name})"
        yield '        case "$prev" in'
        for option in command.options:
            if option.value is not None:
                yield f"        {'|'.join(option.names)}) {_bash_value(option.value)}; return ;;"
        yield "        esac"
        options = " ".join(name for option in command.options for name in option.names)
        yield f"""        if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '{options}' -- "$cur")); return; fi"""
        yield f"        {_bash_value(command.argument)} ;;"
    yield "    esac"
    yield "}"
    yield "complete -F _minibert minibert"


def _bash_value(value: _Value) -> str:
    parts = []
    if value.files or value.folders:
        parts.append("compopt -o filenames 2>/dev/null")
    generated = [f"""$(compgen -W '{" ".join(value.words)}' -- "$cur")"""] if value.words else []
    if value.files or value.folders:
        # one completion a line, whatever spaces a name has
        parts.append(f"local IFS=$'\\n'; COMPREPLY=($(compgen -{'f' if value.files else 'd'} -- \"$cur\"))")
    if generated:
        parts.append(f"""IFS=$' \\t\\n'; COMPREPLY+=({generated[0]})""" if parts else f"COMPREPLY=({generated[0]})")
    return "; ".join(parts) or ":"


# ---- zsh


def _zsh(commands: list[_Command]) -> Iterator[str]:
    yield "#compdef minibert"
    yield "# zsh completion of minibert; put into ~/.zshrc after compinit: source <(minibert completion zsh)"
    yield "_minibert() {"
    yield "  local -a commands"
    yield "  commands=("
    yield from (f"    '{command.name}:{command.about}'" for command in commands)
    yield "  )"
    yield "  if (( CURRENT == 2 )); then _describe command commands; return; fi"
    yield "  shift words; (( CURRENT-- ))"
    yield "  case $words[1] in"
    for command in commands:
        yield f"    {command.name})"
        yield "      _arguments -S \\"
        for option in command.options:
            for name in option.names:
                yield f"        '{name}[{option.about}]{_zsh_value(option.value)}' \\"
        yield f"        '*{_zsh_value(command.argument)}' ;;"
    yield "  esac"
    yield "}"
    yield "compdef _minibert minibert"


def _zsh_value(value: _Value | None) -> str:
    if value is None:
        return ""
    files = "_files -/" if value.folders and not value.files else "_files" if value.files else ""
    words = f"({' '.join(value.words)})" if value.words else ""
    if files and words:
        return f': :_alternative "words\\:name\\:{words}" "files\\:file\\:{files}"'
    return f": :{words or files or ' '}"


# ---- fish


def _fish(commands: list[_Command]) -> Iterator[str]:
    yield "# fish completion of minibert; put into ~/.config/fish/config.fish: minibert completion fish | source"
    yield "complete -c minibert -f"
    yield "complete -c minibert -n __fish_use_subcommand -l help -s h -d 'show help'"
    yield "complete -c minibert -n __fish_use_subcommand -l version -d 'show the version'"
    for command in commands:
        yield f"complete -c minibert -n __fish_use_subcommand -a {command.name} -d '{command.about}'"
    for command in commands:
        start = f"complete -c minibert -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            yield f"{start} {names}{_fish_value(option.value, required=True)} -d '{option.about}'"
        if argument := _fish_value(command.argument, required=False):
            yield start + argument


def _fish_value(value: _Value | None, *, required: bool) -> str:
    if value is None:
        return ""
    names: Iterable[str] = value.words
    if value.folders and not value.files:
        names = (*names, "(__fish_complete_directories)")
    listed = f' -a "{" ".join(names)}"' if names else ""
    if value.files:
        return (" -r -F" if required else " -F") + listed
    return (" -x" if required else "") + listed
