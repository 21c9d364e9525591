/** Events of the index in the side panel, with the days that they are from. */

import { formatDay, formatNumber, label } from "../labels/label";
import { plainOperand } from "../language/edits";
import { quoteEvent } from "../language/names";
import { ValueButton } from "../parts/value_button";
import { barLength } from "../parts/bar";
import type { EventEntry } from "../server/forms";
import { details } from "../server/session";

export function EventList({ events }: { events: readonly EventEntry[] }) {
  if (!events.length) return null;
  const total = details.value?.devices || 1;
  return (
    <section>
      <h2>{label("panel.events")}</h2>
      <ul class="values">
        {events.map((event) => (
          <li key={event.name} style={{ "--share": barLength((event.devices ?? 0) / total) }}>
            <ValueButton operand={plainOperand(`did(${quoteEvent(event.name)})`)} name={event.name}>
              <span class="value-count">{event.devices === null ? "" : formatNumber(event.devices)}</span>
            </ValueButton>
            <small>{describeDays(event)}</small>
          </li>
        ))}
      </ul>
    </section>
  );
}

function describeDays({ first_day, last_day }: EventEntry): string {
  if (!first_day || !last_day) return "";
  return label("panel.days", { first: formatDay(first_day), last: formatDay(last_day) });
}
