"""`edgespark inspect BUNDLE`: show what a bundle holds; with --hash, check every byte of it."""

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, show, show_json
from edgespark.runtime.errors import BundleError
from edgespark.runtime.inspect import describe, render
from edgespark.runtime.progress import track


def main(arguments: list[str]) -> int:
    """Print the bundle's parts, ports, routes and evidence; BundleError where `--hash` fails."""
    given = _parser().parse_args(arguments)
    bundle = Bundle.open(given.bundle)
    if given.hash:
        _hash(bundle, asked=given.progress)
    description = {**describe(bundle), "hashed": given.hash}
    if given.json:
        show_json(description)
    else:
        show(render(description) + ("\nevery file is as the manifest says" * given.hash))
    return 0


def _hash(bundle: Bundle, *, asked: bool) -> None:
    problems = bundle.problems(lambda files: track(files, "hash", len(files), asked=asked))
    if problems:
        raise BundleError(str(bundle.root), problems)


def _parser() -> Parser:
    parser = Parser(prog="edgespark inspect", description=__doc__)
    parser.add_argument("bundle", help="the bundle's folder")
    parser.add_argument("--hash", action="store_true", help="hash every file as well")
    parser.add_argument("--json", action="store_true", help="give one JSON document on stdout")
    parser.add_argument("--progress", action="store_true", help="show progress on any stderr")
    return parser
