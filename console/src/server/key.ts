/** The key of the service. It lives as long as the tab, and is never part of the link. */

import { signal } from "@preact/signals";

const STORED_AS = "audience.key";

export const key = signal(sessionStorage.getItem(STORED_AS) ?? "");

/** Use another key; an empty one is none. */
export function changeKey(text: string): void {
  key.value = text.trim();
  if (key.value) sessionStorage.setItem(STORED_AS, key.value);
  else sessionStorage.removeItem(STORED_AS);
}
