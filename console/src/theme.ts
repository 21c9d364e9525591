/** Dark or light: as the system has it, or as it was chosen. */

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const STORED_AS = "audience.theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(readTheme());

export function watchTheme(): void {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem(STORED_AS, theme.value);
  });
}

export function chooseNextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}

function readTheme(): Theme {
  const stored = localStorage.getItem(STORED_AS);
  return THEMES.find((known) => known === stored) ?? "system";
}
