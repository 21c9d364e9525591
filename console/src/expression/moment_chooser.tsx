/** Button that shows the moment of the question, and a dialog that changes it. */

import { useRef, useState } from "preact/hooks";
import { label } from "../labels/label";
import { link, followLink } from "../link/current";
import { Dialog } from "../parts/dialog";

export function MomentChooser({ text }: { text: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" class={link.value.asOf ? "quiet is-set" : "quiet"} onClick={() => setOpen(true)} title={label("moment.change")}>
        {text}
      </button>
      {isOpen && <MomentDialog close={() => setOpen(false)} />}
    </>
  );
}

function MomentDialog({ close }: { close: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  const ask = (moment: string) => {
    followLink({ asOf: moment });
    close();
  };
  return (
    <Dialog title={label("moment.title")} close={close}>
      <p>{label("moment.about")}</p>
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          ask(field.current?.value ?? "");
        }}
      >
        <label>
          {label("moment.field")}
          <input ref={field} type="datetime-local" defaultValue={link.value.asOf.slice(0, 16)} />
        </label>
        <div class="buttons">
          <button type="submit" class="primary">
            {label("moment.ask")}
          </button>
          <button type="button" onClick={() => ask("")}>
            {label("moment.now")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
