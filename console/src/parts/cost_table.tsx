/** Table of what each method of sending costs. */

import { formatBytes, formatNumber, formatSeconds, label } from "../labels/label";
import type { Cost } from "../vendors/plans";
import { ProblemText } from "./problem_text";

interface CostTableProps {
  readonly costs: readonly Cost[];
  /** Method that would be used. */
  readonly chosen: string | null;
  /** Called with the method that is chosen; without it none can be. */
  readonly choose?: (method: string) => void;
}

export function CostTable({ costs, chosen, choose }: CostTableProps) {
  if (!costs.length) return null;
  return (
    <div class="scroll">
      <table class="costs">
        <caption class="hidden">{label("cost.table")}</caption>
        <thead>
          <tr>
            <th scope="col">{label("cost.method")}</th>
            <th scope="col" class="number">{label("cost.calls")}</th>
            <th scope="col" class="number">{label("cost.duration")}</th>
            <th scope="col" class="number">{label("cost.size")}</th>
            <th scope="col">{label("cost.note")}</th>
          </tr>
        </thead>
        <tbody>
          {costs.map((cost) => (
            <CostRow key={cost.method} cost={cost} isChosen={cost.method === chosen} choose={choose} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CostRow({ cost, isChosen, choose }: { cost: Cost; isChosen: boolean; choose: CostTableProps["choose"] | undefined }) {
  const isUsable = !cost.problems.length;
  return (
    <tr class={isChosen ? "is-chosen" : ""}>
      <th scope="row">
        {choose && isUsable ? (
          <label class="choice">
            <input type="radio" name="method" checked={isChosen} onChange={() => choose(cost.method)} /> <code>{cost.method}</code>
          </label>
        ) : (
          <code>{cost.method}</code>
        )}
        {isChosen && <span class="chip">{label("cost.chosen")}</span>}
      </th>
      <td class="number">
        {formatNumber(cost.calls)}
        {cost.setup_calls > 0 && <small> {label("cost.setup", { n: cost.setup_calls })}</small>}
      </td>
      <td class="number">{formatSeconds(cost.seconds)}</td>
      <td class="number">{formatBytes(cost.bytes)}</td>
      <td>
        {cost.problems.map((problem) => (
          <span key={problem.code}>
            <ProblemText problem={problem} /> <code>{problem.code}</code>
          </span>
        ))}
        {isUsable && !cost.worthwhile && label("cost.not_worthwhile")}
      </td>
    </tr>
  );
}
