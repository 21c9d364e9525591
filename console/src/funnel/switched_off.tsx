/** What the audience is without the node that is switched off, and two ways to go on. */

import { label } from "../labels/label";
import { followLink, link, reviseParams } from "../link/current";
import type { ExplainedLine } from "../server/forms";

export function SwitchedOff({ line, total }: { line: ExplainedLine; total: number }) {
  const { without } = line;
  if (!without) return null;
  const keep = () => {
    const { off: _, ...params } = link.value.params;
    followLink({ expr: without.expr, params });
  };
  return (
    <div class="switched-off" role="status">
      <p>
        {label("funnel.without_node")} <code>{line.text}</code>: <b data-testid="without">{label("devices", { n: without.count })}</b>{" "}
        {without.count >= total
          ? label("funnel.costs", { n: without.count - total })
          : label("funnel.gains", { n: total - without.count })}
      </p>
      <div class="buttons">
        <button type="button" onClick={() => reviseParams({ off: "" })}>
          {label("funnel.switch_on")}
        </button>
        <button type="button" onClick={keep}>
          {label("funnel.remove")}
        </button>
      </div>
    </div>
  );
}
