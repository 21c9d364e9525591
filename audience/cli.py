"""Who should get the push: build an index of devices, count and explain audiences, say them in vendors' words.

Results go to standard output, problems and progress to standard error. Exit code 0 is done, 1 could not, 2 bad input.
"""

import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from audience import demo as demonstration
from audience.catalog.attributes import Catalog
from audience.catalog.check import load_catalog
from audience.catalog.draft import draft
from audience.catalog.names import speaking
from audience.emit import as_json as emitted_json
from audience.emit import emit as emit_plan
from audience.errors import AudienceError, DamagedError, PlanError, Problem, ProofError
from audience.files import write_new
from audience.index import DeviceIndex
from audience.language.expr import Expr
from audience.language.outline import as_json, outline
from audience.language.parse import parse as parse_text
from audience.language.render import render
from audience.lint import lint as find_odd
from audience.plan import MOST_REQUESTS, Plan
from audience.plan import plan as make_plan
from audience.report import derivation, info, note, plan_json, problem_json, result, tell, verdict, warn
from audience.screen import bar, counts_table, flushed, open_streams, read_input
from audience.vendors import vendor as vendor_record
from audience.vendors import vendors as vendor_names
from audience.vendors.base import dump, load

app = typer.Typer(help=__doc__.splitlines()[0] if __doc__ else "", no_args_is_help=True, add_completion=False)
index_app = typer.Typer(help="Build an index of devices, and look at it.", no_args_is_help=True)
app.add_typer(index_app, name="index")
catalog_app = typer.Typer(help="What vendors call attributes, and what is known of them.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
IndexPath = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index.")]
ExprText = Annotated[str, typer.Argument(metavar="EXPR", help="Who is meant.")]
MaxRequests = Annotated[int, typer.Option(min=1, metavar="N", help="Native requests at the most.")]
CatalogPath = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="Names at vendors, and facts of attributes.")
]
Strict = Annotated[bool, typer.Option("--strict", help="By ids, where a native request takes something for granted.")]


NOBODY = Problem("nobody", "nobody is meant: nothing to send")


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error is told in words, never as a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    open_streams()
    code = 0
    try:
        app(words, standalone_mode=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except AudienceError as error:
        tell(error.problems, "--json" in words)
        code = 1 if isinstance(error, ProofError | DamagedError) else 2
    except OSError as error:  # of our own output: the reader has gone, or the disk is full
        code = 1
        if not isinstance(error, BrokenPipeError):
            tell([Problem("cannot-write", error.strerror or str(error))], "--json" in words)
    sys.exit(code if flushed() else 1)


@index_app.command("build")
def index_build(
    tables: Annotated[
        list[str], typer.Argument(metavar="TABLE...", help="Parquet, CSV, NDJSON or Arrow IPC; globs too.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the index goes.")],
    token: Annotated[
        list[str] | None, typer.Option(metavar="[VENDOR=]COLUMN", help="The ids, of one vendor or of all.")
    ] = None,
    alias: Annotated[str | None, typer.Option(metavar="COLUMN", help="Holds aliases.")] = None,
    account: Annotated[str | None, typer.Option(metavar="COLUMN", help="Holds accounts.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Holds bare tags; may be said again, as all below.")
    ] = None,
    typed: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Text: typed tags, COLUMN:value.")] = None,
    number: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Holds numbers, also as text.")] = None,
    date: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Holds days: 2020-04-08 or 20200408.")
    ] = None,
    version: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Holds versions.")] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=SIGN", help="Tags in one text, SIGN between them.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Is left out.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an index that is there.")] = False,
    json: Json = False,
) -> None:
    """Build an index of a table of devices; columns find their role by name and type."""
    with bar() as progress:
        index = DeviceIndex.build(
            tables,
            out,
            tokens=_tokens(token or []),
            alias=alias,
            account=account,
            tags=tags or (),
            typed=typed or (),
            numbers=number or (),
            dates=date or (),
            versions=version or (),
            split=dict(_pair(each, None) for each in split or []),
            ignore=ignore or (),
            replace=replace,
            progress=progress,
        )
    info(index, json)


@index_app.command("info")
def index_info(index: IndexPath, json: Json = False) -> None:
    """What an index holds: devices, ids, attributes and their values."""
    info(DeviceIndex.open(index), json)


@index_app.command("check")
def index_check(index: IndexPath, json: Json = False) -> None:
    """Read every file of an index whole and compare it with its checksum."""
    names = DeviceIndex.open(index).check()
    result(names, json, f"sound: {', '.join(names)}")


@catalog_app.command("check")
def catalog_check(file: Annotated[Path, typer.Argument(metavar="FILE")], json: Json = False) -> None:
    """Whether a catalog is sound: every name legal at its vendor, and none for two tags."""
    names = list(load_catalog(file).attributes)
    result(names, json, f"sound: {', '.join(names) or 'no attribute'}")


@catalog_app.command("init")
def catalog_init(
    index: IndexPath,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="A file that is not there yet.")
    ] = None,
    json: Json = False,
) -> None:
    """Draft a catalog from what an index holds."""
    text = draft(DeviceIndex.open(index))
    if out is not None:
        write_new(out, text.encode())
        text = f"{out}: confirm each line, it is believed"
    result({"catalog": text}, json, text.rstrip("\n"))


@app.command()
def parse(
    expr: ExprText,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree.")] = False,
    json: Json = False,
) -> None:
    """Write an expression in its canonical form."""
    meant = parse_text(expr)
    result(as_json(meant), json, "\n".join(outline(meant)) if tree else render(meant))


@app.command()
def count(index: IndexPath, expr: ExprText, json: Json = False) -> None:
    """How many devices are meant."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    found = opened.count(meant)
    warn(opened.problems(meant))
    result({"count": found, "devices": len(opened), "expression": render(meant)}, json, str(found))


@app.command()
def explain(
    index: IndexPath,
    expr: ExprText,
    vendor: Annotated[str | None, typer.Option(metavar="V", help="This vendor only.")] = None,
    catalog: CatalogPath = None,
    json: Json = False,
) -> None:
    """The tree with a count at every node, what each vendor could say, and why not."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    lines = opened.explain(meant)
    plans = [make_plan(meant, name, opened, _catalog(catalog)) for name in ([vendor] if vendor else vendor_names())]
    warn(opened.problems(meant))
    if json:
        tree = [{"depth": line.depth, "text": line.text, "devices": line.devices, "left": line.left} for line in lines]
        result({"tree": tree, "vendors": {plan.vendor: plan_json(plan) for plan in plans}}, json, "")
        return
    counts_table(lines, len(opened))
    for plan in plans:
        sys.stdout.write(f"\n{verdict(plan)}\n")


@app.command()
def lint(
    expr: ExprText,
    index: Annotated[Path | None, typer.Argument(metavar="[INDEX]", help="The folder of an index.")] = None,
    catalog: CatalogPath = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SHARE", help="More devices than this are odd: 50% or 0.5.")
    ] = None,
    json: Json = False,
) -> None:
    """What is legal and yet hardly meant: always empty, idle branches, unknown tags. Exit code 1 if there is any."""
    opened = None if index is None else DeviceIndex.open(index)
    share = None if limit is None else _share(limit)
    if share is not None and opened is None:
        raise PlanError(Problem("bad-option", "--limit needs an index to count in", hint="audience lint EXPR INDEX"))
    found = find_odd(parse_text(expr), opened, _catalog(catalog), share)
    odd = [problem_json(problem) for problem in found]
    result(odd, json, "\n".join(map(str, found)) or "nothing odd")
    sys.exit(1 if found else 0)


@app.command()
def emit(
    index: IndexPath,
    expr: ExprText,
    vendor: Annotated[str, typer.Option(metavar="V")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A folder that is not there yet.")],
    by_ids: Annotated[
        bool,
        typer.Option("--by-ids", help="Lists of ids, also where requests could say it."),
    ] = False,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a folder that is there.")] = False,
    json: Json = False,
) -> None:
    """Write the requests' targeting bodies as NDJSON files, at most 1,000 ids a line."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    plan = make_plan(meant, vendor, opened, _catalog(catalog), max_requests=max_requests, strict=strict)
    if by_ids and plan.native:
        plan = Plan(plan.vendor, meant, (), meant, (Problem("by-ids", "asked for by --by-ids"),), index=opened)
    with bar() as progress:
        written = emit_plan(plan, opened, out, replace=replace, progress=progress)
    warn([*opened.problems(meant), *written.reasons])
    note(plan.conditions)
    parts = [f"{written.native} native"] if written.native else []
    parts += [f"{written.batches:,} with {written.told:,} ids"] if written.batches else []
    said = f"{written.devices:,} devices meant; requests: {' and '.join(parts)}" if parts else NOBODY.message
    result(emitted_json(written), json, f"{out}: {said}")


@app.command()
def translate(
    payload: Annotated[
        str,
        typer.Argument(metavar="[PAYLOAD|-]", help="A payload, or - for standard input."),
    ] = "-",
    source: Annotated[str, typer.Option("--from", metavar="V", help="A vendor, or text.")] = "text",
    target: Annotated[str, typer.Option("--to", metavar="W", help="A vendor, or text.")] = "text",
    explained: Annotated[bool, typer.Option("--explain", help="How it got there, in place of the payloads.")] = False,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Read one vendor's targeting and write it in another's words; text is a source and a target too."""
    said = read_input() if payload == "-" else payload
    known = _catalog(catalog)
    meant = parse_text(said) if source == "text" else _read(source, said, known)
    if target == "text":
        result({"expression": render(meant)}, json, render(meant))
        return
    whose = None if source == "text" else source
    plan = make_plan(meant, target, catalog=known, max_requests=max_requests, strict=strict, ids_of=whose)
    if json or explained:
        result(plan_json(plan), json, derivation(plan))
    elif plan.by_ids is None:
        for request in plan.native:
            sys.stdout.write(dump(request) + "\n")
        note(plan.conditions)
    if plan.by_ids is not None:
        left = Problem("by-ids", f"{target} cannot say all of it; resolve it with an index")
        tell((left, *plan.reasons), json)
        sys.exit(1)
    if not plan.native:
        warn([NOBODY])


@app.command()
def vendors(json: Json = False) -> None:
    """The vendors, what each can say, its limits, and the page they come from."""
    records = [vendor_record(name) for name in vendor_names()]
    if json:
        facts = [
            {"name": v.name, "title": v.title, "says": v.fragment, "page": v.page, "read": v.read_on} for v in records
        ]
        limits = [
            {key: {"most": limit.most, "source": limit.source} for key, limit in v.limits.items()} for v in records
        ]
        result([{**fact, "limits": limit} for fact, limit in zip(facts, limits, strict=True)], json, "")
        return
    for v in records:
        known = ", ".join(f"{key} ≤ {limit.most:,}" for key, limit in v.limits.items() if limit.most is not None)
        sys.stdout.write(
            f"{v.name}: {v.title}\n  says    {v.fragment}\n  limits  {known}\n  page    {v.page} ({v.read_on})\n"
        )


@app.command()
def demo(
    devices: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many to generate.")] = 100_000,
    json: Json = False,
) -> None:
    """Build an index from generated devices and walk through all of it."""
    command = typer.main.get_command(app)
    demonstration.walk(lambda words: command(words, standalone_mode=False), _say, devices, json)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _catalog(file: Path | None) -> Catalog | None:
    return None if file is None else load_catalog(file)


def _read(source: str, said: str, catalog: Catalog | None) -> Expr:
    """What a vendor's payload means; its warnings are told."""
    reader = speaking(vendor_record(source), catalog)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meant = reader.parse(said if said.strip() == "all" else load(said))
    warn([Problem("payload", str(warning.message)) for warning in caught])
    return meant


def _tokens(options: list[str]) -> dict[str, str]:
    """The columns of ids by their vendors, of which each is said once."""
    pairs = [_pair(each, "registration_id") for each in options]
    for name, column in pairs:
        if dict(pairs)[name] != column:
            raise PlanError(Problem("two-roles", f"two columns are said to hold the ids of {name}", hint="say one"))
    return dict(pairs)


def _share(text: str) -> float:
    """A share of all devices, as 50% or 0.5."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise PlanError(Problem("bad-option", f"{text!r} is no share of all devices", hint="50% or 0.5"))
    return share


def _pair(text: str, default: str | None) -> tuple[str, str]:
    """VENDOR=COLUMN or COLUMN=SIGN; a lone COLUMN belongs to *default*."""
    left, sign, right = text.partition("=")
    if sign and left and right:
        return left, right
    if sign or default is None:
        raise PlanError(
            Problem("bad-option", f"{text!r} is not of the form NAME=VALUE", hint="for example --split 'tags=;'")
        )
    return default, text
