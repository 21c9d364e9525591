/** The opened segment, below the expression: whether it was changed, and what saves it. */

import { signal } from "@preact/signals";
import { label } from "../labels/label";
import { followLink, link, reviseParams } from "../link/current";
import { RefusalNotice } from "../parts/notice";
import { Refusal } from "../server/client";
import { isAllowed } from "../server/session";
import { opened, saveSegment } from "./saved";
import { chooseDialog } from "./segment_dialogs";

const refusal = signal<Refusal | null>(null);

export function SegmentState() {
  const segment = opened.value;
  if (!segment) return null;
  const { index, expr } = link.value;
  const isChanged = expr.trim() !== segment.expression;
  const save = async () => {
    try {
      await saveSegment(index, segment.name, expr, segment);
      refusal.value = null;
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      refusal.value = error;
    }
  };
  return (
    <section class="segment-state" aria-label={label("segments.opened")} data-testid="segment-state">
      <span>
        {label("segments.opened")} <b>{<bdi>{segment.name}</bdi>}</b>
      </span>
      <span class={isChanged ? "chip is-changed" : "chip"} role="status">
        {label(isChanged ? "segments.is_changed" : "segments.is_saved")}
      </span>
      {isChanged && isAllowed("write") && (
        <>
          <button type="button" class="primary" onClick={() => void save()}>
            {label("segments.save")}
          </button>
          <button type="button" onClick={() => chooseDialog({ kind: "save", expr })}>
            {label("segments.save_as")}
          </button>
        </>
      )}
      {isChanged && (
        <button type="button" class="quiet" onClick={() => followLink({ expr: segment.expression })}>
          {label("segments.revert")}
        </button>
      )}
      <button type="button" class="quiet" onClick={() => reviseParams({ segment: "" })}>
        {label("segments.leave")}
      </button>
      {isChanged && refusal.value && <RefusalNotice refusal={refusal.value} />}
    </section>
  );
}
