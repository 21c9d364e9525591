/** How wide the page is, as far as the layout depends on it. */

import { signal } from "@preact/signals";

const WIDE = matchMedia("(min-width: 1700px)");

/** Whether two views fit beside each other. */
export const isWide = signal(WIDE.matches);

WIDE.addEventListener("change", () => (isWide.value = WIDE.matches));
