/** Dialog over the page. Escape and the button close it, and the focus returns to where it was. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { label } from "../labels/label";

export interface DialogProps {
  readonly title: string;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={title}
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="dialog-body">
        <header>
          <h2>{title}</h2>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
            {label("close")}
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
