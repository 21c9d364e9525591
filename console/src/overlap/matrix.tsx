/** Matrix of audiences: for each two, the devices in both, and their share of the row or of either. */

import { formatNumber, formatShare, label } from "../labels/label";
import { followLink, link, reviseParams } from "../link/current";
import type { Overlap, OverlapPair } from "../server/forms";
import { joinExprs } from "./join_exprs";

interface Props {
  readonly form: Overlap;
  readonly exprs: Readonly<Record<string, string>>;
}

type Measure = "contained" | "jaccard";

export function Matrix({ form, exprs }: Props) {
  const measure: Measure = link.value.params.measure === "jaccard" ? "jaccard" : "contained";
  return (
    <>
      <div class="table-title">
        <h2>{label("overlap.matrix")}</h2>
        <label>
          <span class="hidden">{label("overlap.measure")}</span>
          <select value={measure} onChange={(event) => reviseParams({ measure: event.currentTarget.value })}>
            <option value="contained">{label("overlap.contained")}</option>
            <option value="jaccard">{label("overlap.jaccard")}</option>
          </select>
        </label>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label={label("overlap.matrix")}>
        <table class="matrix">
          <caption class="hidden">{label("overlap.matrix")}</caption>
          <thead>
            <tr>
              <td />
              {form.segments.map((segment) => (
                <th key={segment.name} scope="col" title={segment.expression}>
                  <bdi>{segment.name}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {form.segments.map((segment, row) => (
              <tr key={segment.name}>
                <th scope="row" title={segment.expression}>
                  <bdi>{segment.name}</bdi>
                </th>
                {form.segments.map((other, column) => (
                  <MatrixCell key={other.name} pair={form.pairs[row]?.[column]} measure={measure} names={[segment.name, other.name]} exprs={exprs} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

interface CellProps {
  readonly pair: OverlapPair | undefined;
  readonly measure: Measure;
  readonly names: readonly [string, string];
  readonly exprs: Readonly<Record<string, string>>;
}

function MatrixCell({ pair, measure, names, exprs }: CellProps) {
  if (!pair) return <td />;
  const [row, column] = names;
  if (row === column) return <td class="number is-diagonal">{formatNumber(pair.both)}</td>;
  const share = pair[measure];
  return (
    <td class="number heat" style={{ "--heat": `${((share ?? 0) * 100).toFixed(1)}%` }}>
      <button
        type="button"
        class="cell"
        title={label("overlap.both", { row, column })}
        onClick={() => followLink({ expr: joinExprs([exprs[row] ?? "", exprs[column] ?? ""], []) })}
      >
        {share === null ? "–" : formatShare(share)}
        <small>{formatNumber(pair.both)}</small>
      </button>
    </td>
  );
}
