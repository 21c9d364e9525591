/** What the service has, and what the key may do: read at the start, and looked at again every few seconds. */

import { batch, computed, signal } from "@preact/signals";
import { link } from "../link/current";
import { Refusal, ask, indexPath, isOnline, needsKey } from "./client";
import type { IndexDetails, IndexEntry, Problem, Readiness, Scope, Session } from "./forms";
import { changeKey } from "./key";

const LOOK_EVERY = 5_000;
const RETRY_EVERY = 2_000;
const LOOK_TIMEOUT = 10_000;

export const session = signal<Session | null>(null);
export const indexes = signal<readonly IndexEntry[] | null>(null);
export const details = signal<IndexDetails | null>(null);
export const detailsRefusal = signal<Refusal | null>(null);

/** What keeps each index from moving to its current snapshot, by name: the service answers from an earlier one. */
export const staleProblems = signal<Readonly<Record<string, Problem>>>({});

/** Snapshot of the current index, as far as the page knows. */
export const snapshot = computed(() => indexes.value?.find((index) => index.name === link.value.index)?.snapshot ?? 0);

/** Return whether the key may do what needs *scope*. */
export function isAllowed(scope: Scope): boolean {
  return session.value?.scopes.includes(scope) ?? false;
}

/** Read the session and the indexes. Without an index in the link, take the first one. */
export async function openSession(): Promise<void> {
  try {
    const [who, listed] = await Promise.all([
      ask<Session>("v1/session"),
      ask<{ indexes: IndexEntry[] }>("v1/indexes"),
    ]);
    batch(() => {
      session.value = who.form;
      indexes.value = listed.form.indexes;
      const first = listed.form.indexes[0];
      if (!link.value.index && first) link.value = { ...link.value, index: first.name };
    });
  } catch (error) {
    if (!(error instanceof Refusal)) setTimeout(openSession, RETRY_EVERY);
  }
}

/** Try *text* as the key. */
export async function enterKey(text: string): Promise<void> {
  changeKey(text);
  session.value = null;
  await openSession();
}

/** Read what the side panel lists of an index. */
export async function readDetails(index: string): Promise<void> {
  try {
    const reply = await ask<IndexDetails>(indexPath(index));
    if (link.value.index !== index) return; // another one was chosen in between
    batch(() => {
      details.value = reply.form;
      detailsRefusal.value = null;
    });
  } catch (error) {
    if (error instanceof Refusal && link.value.index === index) {
      batch(() => {
        details.value = null;
        detailsRefusal.value = error;
      });
    }
  }
}

/** Look every few seconds for new snapshots, and whether the service is there. */
export function watchIndexes(): void {
  setTimeout(
    async () => {
      if (!document.hidden && session.value && !needsKey.value) await readIndexes();
      watchIndexes();
    },
    isOnline.value ? LOOK_EVERY : RETRY_EVERY,
  );
}

export async function readIndexes(): Promise<void> {
  try {
    const signal = AbortSignal.timeout(LOOK_TIMEOUT);
    const listed = (await ask<{ indexes: IndexEntry[] }>("v1/indexes", { signal })).form.indexes;
    if (JSON.stringify(listed) !== JSON.stringify(indexes.value)) indexes.value = listed;
    await readStaleness(signal);
  } catch (error) {
    if (error instanceof DOMException) isOnline.value = false; // other errors are in `isOnline` and `needsKey` already
  }
}

async function readStaleness(signal: AbortSignal): Promise<void> {
  const ready = (await ask<Readiness>("readyz", { signal })).form.indexes;
  const found = Object.entries(ready).flatMap(([name, { problem }]) => (problem ? [[name, problem] as const] : []));
  const problems = Object.fromEntries(found);
  if (JSON.stringify(problems) !== JSON.stringify(staleProblems.value)) staleProblems.value = problems;
}
