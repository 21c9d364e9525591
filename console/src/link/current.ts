/** The link of the page as it is now. The address bar follows it, and it follows the address bar. */

import { signal } from "@preact/signals";
import { type Link, formatLink, parseLink } from "./link";

const ADDRESS_DELAY = 250; // browsers refuse more than a few hundred changes of the address in half a minute

export const link = signal<Link>(parseLink(location.hash));

let pending = 0;

/** Change the link in place, as one does by typing. The address bar follows when the typing pauses. */
export function reviseLink(changes: Partial<Link>): void {
  link.value = { ...link.value, ...changes };
  clearTimeout(pending);
  pending = setTimeout(writeAddress, ADDRESS_DELAY);
}

/** Change the link so that the browser's Back returns to what it was. */
export function followLink(changes: Partial<Link>): void {
  writeAddress();
  const next = { ...link.value, ...changes };
  if (formatLink(next) === formatLink(link.value)) return;
  history.pushState(null, "", formatLink(next));
  link.value = next;
}

/** Change parameters of a view, and with *changes* also the view, so that the browser's Back returns. */
export function followParams(params: Record<string, string>, changes: Partial<Link> = {}): void {
  followLink({ ...changes, params: { ...link.value.params, ...params } });
}

/** Change parameters of a view; an empty value removes one. */
export function reviseParams(params: Record<string, string>): void {
  reviseLink({ params: { ...link.value.params, ...params } });
}

function writeAddress(): void {
  clearTimeout(pending);
  const hash = formatLink(link.value);
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

function readAddress(): void {
  clearTimeout(pending);
  if (formatLink(parseLink(location.hash)) !== formatLink(link.value)) link.value = parseLink(location.hash);
}

addEventListener("popstate", readAddress);
addEventListener("hashchange", readAddress);
addEventListener("pagehide", writeAddress);
