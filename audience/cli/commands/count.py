"""Command that counts devices."""

from audience.cli.cluster_options import ClusterOptions
from audience.cli.options import ExprArgument, IndexArgument, QuestionOptions
from audience.cli.output.expressions import print_question
from audience.cli.output.writer import Output
from audience.cluster.cluster import Cluster
from audience.index.query.counting import count_devices
from audience.index.query.questions import bind_segments
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.json_forms.questions import question_json
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.parser import parse


def run_count(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    *,
    question: QuestionOptions,
    cluster_options: ClusterOptions,
) -> None:
    """Count the devices of an audience."""
    snapshot, audience = open_snapshot(open_storage(index), threads=question.threads), parse(expr)
    asked = question.read(snapshot.timezone)
    with cluster_options.open() as cluster:
        count = _count(audience, snapshot, asked, cluster)
    bound = bind_segments(audience, snapshot, asked)
    if question.matter_for(audience, snapshot):
        print_question(bound, asked, output)
    output.print_warnings(find_unmatched(audience, snapshot, asked))
    facts = {"count": count, "devices": snapshot.device_count, **question_json(audience, bound, asked)}
    output.print_result(facts, str(count))


def _count(audience: Expr, snapshot: Snapshot, asked: AsOf, cluster: Cluster | None) -> int:
    if cluster is None:
        return count_devices(audience, snapshot, asked)
    from audience.index.query.shared_shards import count_on_cluster  # few counts need it

    return count_on_cluster(audience, snapshot, asked, cluster)
