/** Count the audience of the link whenever it changes. The last answer stays until the next one is there. */

import { batch, computed, effect, signal } from "@preact/signals";
import { link } from "../link/current";
import { type Reply, Refusal, ask, indexPath, isOnline } from "../server/client";
import type { Count } from "../server/forms";
import { indexes, session, snapshot } from "../server/session";

const SLOW_AFTER = 300;

/** Question that was answered, and its answer. The views are about this one, not about what is being typed. */
export interface Answered {
  readonly index: string;
  readonly expr: string;
  readonly asOf: string;
  readonly count: Count;
  readonly milliseconds: number | null;
}

export const answered = signal<Answered | null>(null);
/** The same a moment later: the count is shown before the views are drawn anew. */
export const viewed = signal<Answered | null>(null);
export const countRefusal = signal<Refusal | null>(null);
export const isCounting = signal(false);
export const isCountSlow = signal(false);

/** Expression that is asked: that of the link, or everyone if it is empty. */
export const askedExpr = computed(() => link.value.expr.trim() || "everyone");

/** Return the body of a question about the answered audience, which every view asks with. */
export function questionBody(question: Answered): { expr: string; as_of?: string } {
  return question.asOf ? { expr: question.expr, as_of: question.asOf } : { expr: question.expr };
}

let running: AbortController | undefined;
let slowTimer = 0;

let viewTimer = 0;

/** Let the views follow the answer, once the count is shown. */
function watchViews(): void {
  effect(() => {
    const question = answered.value;
    clearTimeout(viewTimer);
    viewTimer = setTimeout(() => (viewed.value = question), 0);
  });
}

/** Count now, and again whenever the question or the snapshot changes. */
export function watchCount(): void {
  watchViews();
  effect(() => {
    const { index, asOf } = link.value;
    const question = { index, expr: askedExpr.value, asOf };
    const isReady = session.value !== null && isOnline.value && index !== "";
    void snapshot.value; // a new one is a new question
    if (isReady && indexes.value?.some((known) => known.name === index)) void countQuestion(question);
  });
}

async function countQuestion(question: Pick<Answered, "index" | "expr" | "asOf">): Promise<void> {
  running?.abort();
  const abort = (running = new AbortController());
  startClock();
  const { expr, asOf } = question;
  try {
    const body = asOf ? { expr, as_of: asOf } : { expr };
    const reply: Reply<Count> = await ask(indexPath(question.index, "count"), { body, signal: abort.signal });
    if (abort.signal.aborted) return;
    batch(() => {
      answered.value = { ...question, count: reply.form, milliseconds: reply.milliseconds };
      countRefusal.value = null;
      stopClock();
    });
  } catch (error) {
    if (abort.signal.aborted) return;
    batch(() => {
      if (error instanceof Refusal) countRefusal.value = error;
      stopClock();
    });
  }
}

function startClock(): void {
  clearTimeout(slowTimer);
  isCounting.value = true;
  slowTimer = setTimeout(() => (isCountSlow.value = true), SLOW_AFTER);
}

function stopClock(): void {
  clearTimeout(slowTimer);
  isCounting.value = false;
  isCountSlow.value = false;
}
