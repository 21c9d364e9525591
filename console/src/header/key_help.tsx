/** Dialog that lists the keys. */

import { signal } from "@preact/signals";
import { type LabelName, label } from "../labels/label";
import { Dialog } from "../parts/dialog";
import { PAGES, VIEWS } from "../views";

export const isHelpOpen = signal(false);

const KEYS: readonly (readonly [string, LabelName])[] = [
  ["/  Ctrl K", "keys.expression"],
  ["Esc", "keys.leave"],
  ["Alt Enter", "keys.fix"],
  ["Shift Enter", "keys.line"],
  ["Enter", "keys.add"],
  ["Alt Enter", "keys.exclude"],
  ["Shift Enter", "keys.only"],
  ["?", "keys.help"],
];

export function KeyHelp() {
  return (
    <Dialog title={label("keys.title")} close={() => (isHelpOpen.value = false)}>
      <table class="keys">
        <tbody>
          {[...VIEWS, ...PAGES].map((view) => (
            <KeyRow key={view.name} keys={view.key} text={label(view.label)} />
          ))}
          {KEYS.map(([keys, name]) => (
            <KeyRow key={name} keys={keys} text={label(name)} />
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}

function KeyRow({ keys, text }: { keys: string; text: string }) {
  return (
    <tr>
      <th scope="row">
        <kbd>{keys}</kbd>
      </th>
      <td>{text}</td>
    </tr>
  );
}
