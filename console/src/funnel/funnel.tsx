/** Funnel: the tree of the expression with the devices at each node, what is left after it, and what it costs. */

import { questionBody } from "../expression/counting";
import { formatNumber, formatShare, label } from "../labels/label";
import { link, reviseParams } from "../link/current";
import { BarCell } from "../parts/bar";
import { RefusalNotice, Waiting } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import type { ExplainedLine, Explanation } from "../server/forms";
import { snapshot } from "../server/session";
import type { ViewProps } from "../views";
import { EmptiedBy } from "./emptied_by";
import { SwitchedOff } from "./switched_off";

export function Funnel({ question }: ViewProps) {
  const body = { ...questionBody(question), leave_one_out: true };
  const { form, refusal, isPending, isSlow } = useAnswer<Explanation>(indexPath(question.index, "explain"), body, snapshot.value);
  if (refusal) return <RefusalNotice refusal={refusal} />;
  if (!form) return <Waiting isSlow={isSlow} />;
  const off = form.lines.find((line) => line.without && pathKey(line) === link.value.params.off);
  return (
    <div class={isPending ? "is-stale" : ""}>
      {off && <SwitchedOff line={off} total={form.count} />}
      {form.count === 0 && form.devices > 0 && <EmptiedBy lines={form.lines} />}
      <div class="scroll">
        <table class="funnel">
          <caption class="hidden">{label("view.funnel")}</caption>
          <thead>
            <tr>
              <th scope="col">{label("funnel.condition")}</th>
              <th scope="col" class="number">
                {label("funnel.devices")}
              </th>
              <th scope="col" class="number">
                {label("funnel.share")}
              </th>
              <th scope="col" class="number">
                {label("funnel.remaining")}
              </th>
              <th scope="col" class="number">
                {label("funnel.without")}
              </th>
            </tr>
          </thead>
          <tbody>
            {form.lines.map((line, at) => (
              <FunnelRow key={at} line={line} form={form} isOff={line === off} />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function FunnelRow({ line, form, isOff }: { line: ExplainedLine; form: Explanation; isOff: boolean }) {
  return (
    <tr class={isOff ? "is-off" : ""}>
      <th scope="row" style={{ "--depth": line.depth }}>
        <span class="node">
          <NodeSwitch line={line} isOff={isOff} />
          <bdi class={/^[A-Z]+$/.test(line.text) ? "node-join" : "node-text"}>{line.text}</bdi>
          {line.values !== null && <small>{label("funnel.values", { n: line.values })}</small>}
        </span>
      </th>
      <BarCell share={line.share}>{formatNumber(line.count)}</BarCell>
      <td class="number">{formatShare(line.share)}</td>
      {line.remaining === null ? (
        <td />
      ) : (
        <BarCell share={form.devices ? line.remaining / form.devices : 0} class="is-remaining">
          {formatNumber(line.remaining)}
        </BarCell>
      )}
      <td class="number">{line.without && <Difference without={line.without.count} total={form.count} />}</td>
    </tr>
  );
}

/** Checkbox that switches a node off, so that one sees the count without it. */
function NodeSwitch({ line, isOff }: { line: ExplainedLine; isOff: boolean }) {
  if (!line.without) return <span class="switch-space" />;
  return (
    <input
      type="checkbox"
      checked={!isOff}
      aria-label={label("funnel.switch", { node: line.text })}
      title={label("funnel.switch", { node: line.text })}
      onChange={() => reviseParams({ off: isOff ? "" : pathKey(line) })}
    />
  );
}

function Difference({ without, total }: { without: number; total: number }) {
  const difference = without - total;
  const sign = difference > 0 ? "+" : difference < 0 ? "−" : "±";
  return (
    <>
      {formatNumber(without)} <span class="difference">{`${sign}${formatNumber(Math.abs(difference))}`}</span>
    </>
  );
}

function pathKey(line: ExplainedLine): string {
  return (line.path ?? []).join(".");
}
