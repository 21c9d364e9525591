/** Segments of the index in the side panel. */

import { formatNumber, label } from "../labels/label";
import { plainOperand } from "../language/edits";
import { quoteName } from "../language/names";
import { barLength } from "../parts/bar";
import { ValueButton } from "../parts/value_button";
import type { SegmentEntry } from "../server/forms";
import { details } from "../server/session";

export function SegmentList({ segments }: { segments: readonly SegmentEntry[] }) {
  if (!segments.length) return null;
  const total = details.value?.devices || 1;
  return (
    <section>
      <h2>{label("panel.segments")}</h2>
      <ul class="values">
        {segments.map((segment) => (
          <li key={segment.name} title={segment.expression} style={{ "--share": barLength((segment.devices ?? 0) / total) }}>
            <ValueButton operand={plainOperand(`@${quoteName(segment.name)}`)} name={`@${segment.name}`}>
              <span class="value-count">{segment.devices === null ? "" : formatNumber(segment.devices)}</span>
            </ValueButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
