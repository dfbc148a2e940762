"""`edgespark inspect BUNDLE`: show what a bundle holds; with --hash, check every byte of it."""

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, add_bundle, hashing, show, show_json
from edgespark.runtime.inspect import describe, render
from edgespark.runtime.verify import check_derived, check_files


def main(arguments: list[str]) -> int:
    """Print the bundle's parts, ports, routes and evidence; BundleError where `--hash` fails."""
    given = _parser().parse_args(arguments)
    bundle = Bundle.open(given.bundle)
    if given.hash:
        check_files(bundle, hashing(asked=given.progress))
        check_derived(bundle)
    description = {**describe(bundle), "hashed": given.hash}
    if given.json:
        show_json(description)
    else:
        show(render(description) + ("\nevery file is as the manifest says" * given.hash))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="edgespark inspect", description=__doc__)
    add_bundle(parser)
    parser.add_argument("--hash", action="store_true", help="hash every file as well")
    return parser
