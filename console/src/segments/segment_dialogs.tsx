/** Dialogs that save, rename and delete segments. What depends on a segment stands in them. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { label } from "../labels/label";
import { followParams, link, reviseParams } from "../link/current";
import { Dialog } from "../parts/dialog";
import { RefusalNotice } from "../parts/notice";
import { Refusal } from "../server/client";
import { type SavedSegment, dropSegment, renameSegment, saveSegment, segments } from "./saved";

type Choice =
  | { readonly kind: "save"; readonly expr: string }
  | { readonly kind: "rename"; readonly segment: SavedSegment }
  | { readonly kind: "drop"; readonly segment: SavedSegment };

const choice = signal<Choice | null>(null);

export function chooseDialog(chosen: Choice): void {
  choice.value = chosen;
}

export function SegmentDialogs() {
  const chosen = choice.value;
  if (chosen === null) return null;
  if (chosen.kind === "save") return <SaveDialog expr={chosen.expr} />;
  return chosen.kind === "rename" ? <RenameDialog segment={chosen.segment} /> : <DropDialog segment={chosen.segment} />;
}

function SaveDialog({ expr }: { expr: string }) {
  const [name, setName] = useState("");
  const { index } = link.value;
  return (
    <SegmentForm
      title={label("segments.save_current")}
      action={label("segments.save")}
      isReady={isFree(name)}
      act={async () => {
        await saveSegment(index, name.trim(), expr, null);
        followParams({ segment: name.trim() }, { expr });
      }}
    >
      <NameField name={name} setName={setName} />
      <code class="segment-text">{expr}</code>
    </SegmentForm>
  );
}

function RenameDialog({ segment }: { segment: SavedSegment }) {
  const [name, setName] = useState(segment.name);
  const { index } = link.value;
  const policies = segment.used_by.filter((user) => !user.startsWith("@"));
  return (
    <SegmentForm
      title={label("segments.rename_one", { name: segment.name })}
      action={label("segments.rename")}
      isReady={isFree(name) && !policies.length}
      act={async () => {
        await renameSegment(index, segment, name.trim());
        if (link.value.params.segment === segment.name) reviseParams({ segment: name.trim() });
      }}
    >
      <NameField name={name} setName={setName} own={segment.name} />
      <Users segment={segment} text={policies.length ? "segments.policies_keep" : "segments.renamed_in"} />
    </SegmentForm>
  );
}

function DropDialog({ segment }: { segment: SavedSegment }) {
  const { index } = link.value;
  return (
    <SegmentForm
      title={label("segments.drop_one", { name: segment.name })}
      action={label("segments.drop")}
      isReady={!segment.used_by.length}
      act={async () => {
        await dropSegment(index, segment);
        if (link.value.params.segment === segment.name) reviseParams({ segment: "" });
      }}
    >
      <code class="segment-text">{segment.expression}</code>
      {segment.used_by.length ? <Users segment={segment} text="segments.users_keep" /> : <p>{label("segments.unused")}</p>}
    </SegmentForm>
  );
}

interface SegmentFormProps {
  readonly title: string;
  readonly action: string;
  readonly isReady: boolean;
  readonly act: () => Promise<void>;
  readonly children: ComponentChildren;
}

/** Form in a dialog: it closes when the service has done what it asks for, and otherwise says why not. */
function SegmentForm({ title, action, isReady, act, children }: SegmentFormProps) {
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const close = () => (choice.value = null);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await act();
      close();
    } catch (error) {
      if (error instanceof Refusal) setRefusal(error);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        {children}
        {refusal && <RefusalNotice refusal={refusal} />}
        <div class="buttons">
          <button type="submit" class="primary" disabled={!isReady}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function NameField({ name, setName, own = "" }: { name: string; setName: (name: string) => void; own?: string }) {
  const isTaken = name.trim() !== own && isKnown(name);
  return (
    <label>
      {label("segments.name")}
      <input value={name} autofocus dir="auto" maxLength={200} aria-invalid={isTaken} onInput={(event) => setName(event.currentTarget.value)} />
      {isTaken && <small role="status">{label("segments.taken")}</small>}
    </label>
  );
}

function Users({ segment, text }: { segment: SavedSegment; text: "segments.users_keep" | "segments.policies_keep" | "segments.renamed_in" }) {
  if (!segment.used_by.length) return null;
  return (
    <p class="users">
      {label(text)}{" "}
      {segment.used_by.map((user) => (
        <code key={user}>{user}</code>
      ))}
    </p>
  );
}

function isKnown(name: string): boolean {
  return segments.value?.some((segment) => segment.name === name.trim()) ?? false;
}

function isFree(name: string): boolean {
  return name.trim() !== "" && !isKnown(name);
}
