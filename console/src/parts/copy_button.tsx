/** Button that copies a text, and says that it has. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { label } from "../labels/label";

const SHOWN_FOR = 2_000;

export function CopyButton({ text, children }: { text: () => string; children: ComponentChildren }) {
  const [state, setState] = useState<"copied" | "not_copied" | null>(null);
  useEffect(() => {
    if (state === null) return;
    const timer = setTimeout(() => setState(null), SHOWN_FOR);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setState("copied");
    } catch {
      setState("not_copied"); // the browser permits it on loopback and by HTTPS alone
    }
  };
  return (
    <button type="button" onClick={() => void copy()}>
      {children}
      {state && <span role="status"> {label(`copy.${state}`)}</span>}
    </button>
  );
}
