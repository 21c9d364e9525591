/** What can be done with a run: cancel it, send the rest of it, or remove what was not sent. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { label } from "../labels/label";
import { followParams } from "../link/current";
import { Dialog } from "../parts/dialog";
import { RefusalNotice } from "../parts/notice";
import { Refusal, ask } from "../server/client";
import { isAllowed } from "../server/session";
import type { Run } from "./run_forms";

type Action = "cancel" | "resume" | "remove";
type OnDoubt = "report" | "skip" | "retry";

const RESUMABLE = new Set(["interrupted", "scheduled", "stopped", "in-doubt"]);
const CANCELLABLE = new Set(["starting", "sending", "interrupted", "scheduled", "stopped", "in-doubt"]);
const ON_DOUBT: readonly OnDoubt[] = ["report", "skip", "retry"];
const chosen = signal<{ action: Action; run: string } | null>(null);

export function RunActions({ run }: { run: Run }) {
  const choose = (action: Action) => (chosen.value = { action, run: run.name });
  return (
    <span class="buttons">
      {isAllowed("send") && RESUMABLE.has(run.state) && (
        <button type="button" onClick={() => choose("resume")}>
          {label("run.resume")}
        </button>
      )}
      {isAllowed("send") && CANCELLABLE.has(run.state) && (
        <button type="button" onClick={() => choose("cancel")}>
          {label("run.cancel")}
        </button>
      )}
      {isAllowed("write") && run.state === "emitted" && run.dry_run && (
        <button type="button" onClick={() => choose("remove")}>
          {label("run.remove")}
        </button>
      )}
      {chosen.value?.run === run.name && <ActionDialog run={run} action={chosen.value.action} />}
    </span>
  );
}

function ActionDialog({ run, action }: { run: Run; action: Action }) {
  const [onDoubt, setOnDoubt] = useState<OnDoubt>("report");
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const close = () => (chosen.value = null);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await act(run.name, action, onDoubt);
      close();
      if (action === "remove") followParams({ run: "", send: "" });
    } catch (error) {
      if (error instanceof Refusal) setRefusal(error);
    }
  };
  return (
    <Dialog title={label(`run.${action}_title`, { name: run.name })} close={close}>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <p>{label(`run.${action}_about`)}</p>
        {action === "resume" && run.in_doubt > 0 && <DoubtChoice onDoubt={onDoubt} choose={setOnDoubt} />}
        {refusal && <RefusalNotice refusal={refusal} />}
        <div class="buttons">
          <button type="submit" class="primary">
            {label(`run.${action}`)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function DoubtChoice({ onDoubt, choose }: { onDoubt: OnDoubt; choose: (choice: OnDoubt) => void }) {
  return (
    <fieldset>
      <legend>{label("run.on_doubt")}</legend>
      {ON_DOUBT.map((choice) => (
        <label key={choice} class="choice">
          <input type="radio" name="on-doubt" checked={choice === onDoubt} onChange={() => choose(choice)} /> {label(`run.on_doubt_${choice}`)}
        </label>
      ))}
    </fieldset>
  );
}

async function act(name: string, action: Action, onDoubt: OnDoubt): Promise<void> {
  const path = `v1/runs/${encodeURIComponent(name)}`;
  if (action === "remove") await ask(path, { method: "DELETE" });
  else if (action === "cancel") await ask(`${path}/cancel`, { body: {} });
  else await ask(`${path}/resume`, { body: { on_doubt: onDoubt } });
}
