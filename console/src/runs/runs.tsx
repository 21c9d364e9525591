/** Runs: the list, one run, or the steps to a new one, as the link says. */

import { link } from "../link/current";
import type { ViewProps } from "../views";
import { RunList } from "./run_list";
import { RunPage } from "./run_page";
import { SendSteps } from "./send_steps";

export function Runs({ question }: ViewProps) {
  const { run, send } = link.value.params;
  if (run) return <RunPage key={run} name={run} />;
  return send ? <SendSteps question={question} vendor={send} /> : <RunList />;
}
