/** The last step: the number of devices is typed, and only then a run can be sent. */

import { useState } from "preact/hooks";
import { formatNumber, label } from "../labels/label";
import { RefusalNotice } from "../parts/notice";
import { Refusal, ask } from "../server/client";
import { isAllowed } from "../server/session";
import type { Run } from "./run_forms";

export function ConfirmSend({ run }: { run: Run }) {
  if (!isAllowed("send")) return <SendElsewhere run={run} />;
  if (!run.dry_run) return <p class="bound">{label("send.not_emitted_here")}</p>;
  return <SendForm run={run} isBroadcast={run.dry_run.broadcast} hasCredentials={run.dry_run.has_credentials} />;
}

function SendForm({ run, isBroadcast, hasCredentials }: { run: Run; isBroadcast: boolean; hasCredentials: boolean }) {
  const [typed, setTyped] = useState("");
  const [agrees, setAgrees] = useState(false);
  const [state, setState] = useState<"ready" | "starting" | "started">("ready");
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const isRight = readNumber(typed) === run.devices && (agrees || !isBroadcast);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!isRight || state !== "ready") return;
    setState("starting");
    try {
      await ask(`v1/runs/${encodeURIComponent(run.name)}/send`, { body: { devices: readNumber(typed), broadcast: agrees } });
      setState("started");
      scrollTo({ top: 0 });
    } catch (error) {
      setState("ready");
      if (error instanceof Refusal) setRefusal(error);
    }
  };
  return (
    <form class="confirm fields" onSubmit={(event) => void submit(event)} data-testid="confirm">
      <h3>{label("send.confirm")}</h3>
      <label>
        {label("send.type_number", { devices: formatNumber(run.devices) })}
        <input inputMode="numeric" autoComplete="off" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} onPaste={(event) => event.preventDefault()} onDrop={(event) => event.preventDefault()} />
      </label>
      {isBroadcast && (
        <label class="choice">
          <input type="checkbox" checked={agrees} onChange={() => setAgrees(!agrees)} /> {label("send.is_broadcast")}
        </label>
      )}
      {!hasCredentials && <p class="bound">{label("send.no_credentials")}</p>}
      {refusal && <RefusalNotice refusal={refusal} />}
      <div class="buttons">
        <button type="submit" class="primary" disabled={!isRight || state !== "ready"}>
          {label("send.send", { n: run.devices })}
        </button>
        {state === "started" && <span role="status">{label("run_state.starting")}</span>}
      </div>
    </form>
  );
}

/** Without the scope: the command that sends it. */
function SendElsewhere({ run }: { run: Run }) {
  return (
    <section class="confirm" data-testid="confirm">
      <h3>{label("send.confirm")}</h3>
      <p>{label("send.no_scope")}</p>
      <pre class="payload" tabIndex={0} aria-label={label("send.command")}>{`audience send runs/${run.name} --message runs/${run.name}/draft-message.json --expect ${run.devices}`}</pre>
    </section>
  );
}

/** Return the number that was typed; spaces, commas and points between digits are as one writes large numbers. */
function readNumber(text: string): number | null {
  const digits = text.trim().replace(/(?<=\d)[\s,.'’](?=\d{3}(?:\D|$))/g, "");
  return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
}
