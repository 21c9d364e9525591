/** Keys of the page. They have no effect while one types. */

import { focusExpression } from "../expression/focus";
import { followLink } from "../link/current";
import { PAGES, VIEWS } from "../views";
import { isHelpOpen } from "./key_help";

/** Listen for keys; return what stops that. */
export function watchKeys(): () => void {
  addEventListener("keydown", handleKey);
  return () => removeEventListener("keydown", handleKey);
}

function handleKey(event: KeyboardEvent): void {
  const isCommand = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
  if (isCommand) return act(event, focusExpression);
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  if (event.key === "/") return act(event, focusExpression);
  if (event.key === "?") return act(event, () => (isHelpOpen.value = true));
  const view = [...VIEWS, ...PAGES].find((candidate) => candidate.key === event.key);
  if (view) act(event, () => followLink({ view: view.name }));
}

function act(event: KeyboardEvent, action: () => void): void {
  event.preventDefault();
  action();
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  const isField = target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
  return isField || target.isContentEditable || document.querySelector("dialog[open]") !== null;
}
