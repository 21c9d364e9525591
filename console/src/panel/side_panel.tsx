/** Side panel: attributes, segments and events of the index, with their most frequent values. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { label } from "../labels/label";
import { details } from "../server/session";
import { AttributeList } from "./attribute_list";
import { EventList } from "./event_list";
import { SegmentList } from "./segment_list";

/** Whether the panel is open where the page is too narrow to show it beside the answer. */
export const isPanelOpen = signal(false);

const filter = signal("");

export function SidePanel() {
  const panel = useRef<HTMLElement>(null);
  const isOpen = isPanelOpen.value;
  useEffect(() => {
    if (isOpen) panel.current?.querySelector("input")?.focus();
  }, [isOpen]);
  return (
    <aside
      ref={panel}
      class={isOpen ? "panel is-open" : "panel"}
      aria-label={label("panel")}
      onKeyDown={(event) => event.key === "Escape" && (isPanelOpen.value = false)}
    >
      <div class="panel-top">
        <input
          type="search"
          placeholder={label("panel.filter")}
          aria-label={label("panel.filter")}
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        <button type="button" class="quiet panel-close" onClick={() => (isPanelOpen.value = false)}>
          {label("close")}
        </button>
      </div>
      {details.value && <PanelLists />}
    </aside>
  );
}

function PanelLists() {
  const index = details.value;
  if (!index) return null;
  const fits = ({ name }: { name: string }) => name.toLowerCase().includes(filter.value.trim().toLowerCase());
  return (
    <div class="panel-lists">
      <AttributeList index={index.name} attributes={index.attributes.filter(fits)} />
      <SegmentList segments={index.segments.filter(fits)} />
      <EventList events={index.events.filter(fits)} />
    </div>
  );
}
