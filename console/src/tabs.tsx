/** Tabs of the views of an audience. The arrow keys move between them, as do their numbers. */

import { label } from "./labels/label";
import { followLink, link } from "./link/current";
import { PAGES, VIEWS } from "./views";

export function Tabs() {
  if (PAGES.some((page) => page.name === link.value.view)) return null;
  return (
    <div class="tabs" role="tablist" aria-label={label("views")} onKeyDown={moveFocus}>
      {VIEWS.map((view) => (
        <button
          key={view.name}
          id={`tab-${view.name}`}
          type="button"
          role="tab"
          aria-selected={view.name === link.value.view}
          tabIndex={view.name === link.value.view ? 0 : -1}
          onClick={() => followLink({ view: view.name })}
        >
          {label(view.label)} <kbd aria-hidden="true">{view.key}</kbd>
        </button>
      ))}
    </div>
  );
}

function moveFocus(event: KeyboardEvent): void {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const at = VIEWS.findIndex((view) => view.name === link.value.view);
  const next = VIEWS[(at + step + VIEWS.length) % VIEWS.length];
  if (!next) return;
  followLink({ view: next.name });
  document.getElementById(`tab-${next.name}`)?.focus();
}
